select
    orders.order_id,
    orders.customer_id,
    customers.first_name,
    customers.last_name,
    customers.email,
    customers.country,
    orders.order_date,
    orders.status,
    orders.created_at,
    orders.updated_at
from {{ ref('stg_orders') }} as orders
left join {{ ref('stg_customers') }} as customers on customers.customer_id = orders.customer_id
