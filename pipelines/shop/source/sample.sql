-- A shop so small that its figures can be added by hand: the 15 items come to 5,164.82.
insert into customers (id, first_name, last_name, email, country) values
    (1, 'Ada', 'Okafor', 'ada.okafor@example.com', 'Nigeria'),
    (2, 'Bram', 'de Vries', 'bram.devries@example.com', 'Netherlands'),
    (3, 'Chloé', 'Martin', 'chloe.martin@example.com', 'France'),
    (4, 'Dario', 'Rossi', 'dario.rossi@example.com', 'Italy'),
    (5, 'Emi', 'Tanaka', 'emi.tanaka@example.com', 'Japan');

insert into products (id, name, category, price) values
    (1, 'Laptop', 'Electronics', 1299.99),
    (2, 'Mouse', 'Electronics', 29.99),
    (3, 'Keyboard', 'Electronics', 82.60),
    (4, 'Monitor', 'Electronics', 349.99),
    (5, 'Chair', 'Furniture', 249.00),
    (6, 'Desk', 'Furniture', 599.00),
    (7, 'Lamp', 'Furniture', 45.50),
    (8, 'Notebook', 'Stationery', 6.25),
    (9, 'Fountain pen', 'Stationery', 24.90),
    (10, 'Bottle', 'Kitchen', 18.75);

insert into orders (id, customer_id, order_date, status) values
    (1, 1, '2025-01-15', 'completed'),
    (2, 2, '2025-01-28', 'completed'),
    (3, 1, '2025-02-03', 'shipped'),
    (4, 3, '2025-02-14', 'processing'),
    (5, 4, '2025-02-27', 'pending'),
    (6, 5, '2025-03-02', 'cancelled'),
    (7, 2, '2025-03-09', 'completed');

insert into order_items (id, order_id, product_id, quantity, unit_price) values
    (1, 1, 1, 1, 1299.99),
    (2, 1, 2, 2, 29.99),
    (3, 2, 5, 1, 249.00),
    (4, 2, 6, 1, 599.00),
    (5, 3, 4, 2, 349.99),
    (6, 3, 3, 1, 82.60),
    (7, 4, 1, 1, 1299.99),
    (8, 4, 7, 1, 45.50),
    (9, 5, 8, 12, 6.25),
    (10, 5, 9, 2, 24.90),
    (11, 5, 10, 3, 18.75),
    (12, 6, 2, 1, 29.99),
    (13, 7, 4, 1, 349.99),
    (14, 7, 10, 1, 18.75),
    (15, 7, 5, 1, 249.00);

-- The next of each gets the number after these.
alter table customers alter id restart with 6;
alter table products alter id restart with 11;
alter table orders alter id restart with 8;
alter table order_items alter id restart with 16;
