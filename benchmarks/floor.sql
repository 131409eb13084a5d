-- The same 21 tables as ride_oracle.sql, made to be fast. A table is computed once and read again, a view as it is
-- written. Given are the view `delivery` (the file, typed) and the variables as_of and source_file. DuckDB keeps the
-- file's order, so that a row's rowid in `loaded` is its position, and row_number() without an order counts in it.

CREATE MACRO as_of() AS CAST(getvariable('as_of') AS TIMESTAMP);
CREATE MACRO source_file() AS CAST(getvariable('source_file') AS VARCHAR);

-- Trimming a list of characters costs twice what trimming blanks does, so it is done only where it could matter.
CREATE MACRO cleaned(text) AS nullif(
    CASE
        WHEN contains(text, E'\t') OR contains(text, E'\r') OR contains(text, E'\n')
            THEN trim(replace(text, '"', ''), E' \t\r\n')
        ELSE trim(replace(text, '"', ''))
    END, ''
);

CREATE TABLE loaded AS
SELECT
    "Date" AS booking_date,
    "Time" AS booking_time,
    cleaned("Booking ID") AS booking_id,
    cleaned("Booking Status") AS booking_status_name,
    cleaned("Customer ID") AS customer_id,
    cleaned("Vehicle Type") AS vehicle_type_name,
    cleaned("Pickup Location") AS pickup_location,
    cleaned("Drop Location") AS drop_location,
    "Avg VTAT" AS avg_vtat,
    "Avg CTAT" AS avg_ctat,
    "Cancelled Rides by Customer" AS cancelled_by_customer,
    cleaned("Reason for cancelling by Customer") AS customer_cancellation_reason,
    "Cancelled Rides by Driver" AS cancelled_by_driver,
    cleaned("Driver Cancellation Reason") AS driver_cancellation_reason,
    "Incomplete Rides" AS incomplete_rides,
    cleaned("Incomplete Rides Reason") AS incomplete_reason,
    "Booking Value" AS booking_value,
    "Ride Distance" AS ride_distance,
    "Driver Ratings" AS driver_rating,
    "Customer Rating" AS customer_rating,
    cleaned("Payment Method") AS payment_method_name,
    strftime("Date", '%Y-%m') AS extraction_month
FROM delivery;

-- Every key of bronze holds booking and month: only rows that share both can be copies of each other, and they are few.

CREATE TABLE repeated AS
SELECT l.rowid AS position, l.*
FROM loaded AS l
SEMI JOIN (SELECT booking_id, extraction_month FROM loaded GROUP BY ALL HAVING count(*) > 1) AS r
    ON l.booking_id IS NOT DISTINCT FROM r.booking_id AND l.extraction_month IS NOT DISTINCT FROM r.extraction_month;

CREATE TABLE copy_customer AS
SELECT position FROM repeated
QUALIFY row_number() OVER (PARTITION BY customer_id, booking_id, extraction_month ORDER BY position) > 1;
CREATE TABLE copy_vehicle_type AS
SELECT position FROM repeated
QUALIFY row_number() OVER (PARTITION BY vehicle_type_name, booking_id, extraction_month ORDER BY position) > 1;
CREATE TABLE copy_pickup AS
SELECT position FROM repeated
QUALIFY row_number() OVER (PARTITION BY pickup_location, booking_id, extraction_month ORDER BY position) > 1;
CREATE TABLE copy_drop AS
SELECT position FROM repeated
QUALIFY row_number() OVER (PARTITION BY drop_location, booking_id, extraction_month ORDER BY position) > 1;
CREATE TABLE copy_booking_status AS
SELECT position FROM repeated
QUALIFY row_number() OVER (PARTITION BY booking_status_name, booking_id, extraction_month ORDER BY position) > 1;
CREATE TABLE copy_payment_method AS
SELECT position FROM repeated
QUALIFY row_number() OVER (PARTITION BY payment_method_name, booking_id, extraction_month ORDER BY position) > 1;
CREATE TABLE copy_booking AS
SELECT position FROM repeated
QUALIFY row_number() OVER (PARTITION BY booking_id, extraction_month ORDER BY position) > 1;
CREATE TABLE copy_ride AS
SELECT position FROM repeated
WHERE booking_status_name = 'Completed'
QUALIFY row_number() OVER (PARTITION BY booking_id, extraction_month ORDER BY position) > 1;
CREATE TABLE copy_cancelled_ride AS
SELECT position FROM repeated
WHERE cancelled_by_customer IS NOT NULL OR cancelled_by_driver IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY booking_id, extraction_month ORDER BY position) > 1;
CREATE TABLE copy_incompleted_ride AS
SELECT position FROM repeated
WHERE incomplete_rides IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY booking_id, extraction_month ORDER BY position) > 1;

-- Silver, dimensions: numbered by first appearance; of places, all pickups come before all drops.

CREATE TABLE silver_vehicle_type AS
SELECT row_number() OVER (ORDER BY min(rowid)) AS vehicle_type_id, vehicle_type_name,
    as_of() AS created_at, as_of() AS updated_at
FROM loaded WHERE vehicle_type_name IS NOT NULL GROUP BY vehicle_type_name;

CREATE TABLE silver_booking_status AS
SELECT row_number() OVER (ORDER BY min(rowid)) AS booking_status_id, booking_status_name,
    as_of() AS created_at, as_of() AS updated_at
FROM loaded WHERE booking_status_name IS NOT NULL GROUP BY booking_status_name;

CREATE TABLE silver_payment_method AS
SELECT row_number() OVER (ORDER BY min(rowid)) AS payment_method_id, payment_method_name,
    as_of() AS created_at, as_of() AS updated_at
FROM loaded WHERE payment_method_name IS NOT NULL GROUP BY payment_method_name;

CREATE TABLE silver_location AS
WITH pickup AS (SELECT pickup_location AS location_name, min(rowid) AS position FROM loaded GROUP BY ALL),
dropped AS (SELECT drop_location AS location_name, min(rowid) AS position FROM loaded GROUP BY ALL)
SELECT row_number() OVER (ORDER BY p.position NULLS LAST, d.position) AS location_id, location_name,
    as_of() AS created_at, as_of() AS updated_at
FROM pickup AS p FULL JOIN dropped AS d USING (location_name)
WHERE location_name IS NOT NULL;

-- What silver and gold both say of a customer.

CREATE TABLE by_customer AS
SELECT
    customer_id, min(booking_date) AS first_booking_date, max(booking_date) AS last_booking_date,
    count(*) AS total_bookings, sum(booking_value) AS total_spent, count(booking_value) AS valued
FROM loaded AS l ANTI JOIN copy_booking AS c ON l.rowid = c.position
WHERE booking_id IS NOT NULL AND customer_id IS NOT NULL
GROUP BY customer_id;

-- Bronze, written by month.

CREATE VIEW bronze_customer AS
SELECT
    customer_id, booking_id, booking_date,
    CAST(as_of() AS DATE) AS extraction_date, extraction_month, source_file() AS source_file
FROM loaded AS l ANTI JOIN copy_customer AS c ON l.rowid = c.position
WHERE customer_id IS NOT NULL;

CREATE VIEW bronze_vehicle_type AS
SELECT
    vehicle_type_name, booking_id,
    CAST(as_of() AS DATE) AS extraction_date, extraction_month, source_file() AS source_file
FROM loaded AS l ANTI JOIN copy_vehicle_type AS c ON l.rowid = c.position
WHERE vehicle_type_name IS NOT NULL;

CREATE VIEW bronze_location AS
SELECT pickup_location AS location_name, 'pickup' AS location_type, booking_id,
    CAST(as_of() AS DATE) AS extraction_date, extraction_month, source_file() AS source_file
FROM loaded AS l ANTI JOIN copy_pickup AS c ON l.rowid = c.position
WHERE pickup_location IS NOT NULL
UNION ALL
SELECT drop_location, 'drop', booking_id, CAST(as_of() AS DATE), extraction_month, source_file()
FROM loaded AS l ANTI JOIN copy_drop AS c ON l.rowid = c.position
WHERE drop_location IS NOT NULL;

CREATE VIEW bronze_booking_status AS
SELECT
    booking_status_name, booking_id,
    CAST(as_of() AS DATE) AS extraction_date, extraction_month, source_file() AS source_file
FROM loaded AS l ANTI JOIN copy_booking_status AS c ON l.rowid = c.position
WHERE booking_status_name IS NOT NULL;

CREATE VIEW bronze_payment_method AS
SELECT
    payment_method_name, booking_id,
    CAST(as_of() AS DATE) AS extraction_date, extraction_month, source_file() AS source_file
FROM loaded AS l ANTI JOIN copy_payment_method AS c ON l.rowid = c.position
WHERE payment_method_name IS NOT NULL;

CREATE VIEW bronze_booking AS
SELECT
    booking_id, booking_date, booking_time, customer_id, vehicle_type_name, pickup_location, drop_location,
    booking_status_name, payment_method_name, booking_value, ride_distance, avg_vtat, avg_ctat,
    driver_rating, customer_rating,
    CAST(as_of() AS DATE) AS extraction_date, extraction_month, source_file() AS source_file
FROM loaded AS l ANTI JOIN copy_booking AS c ON l.rowid = c.position
WHERE booking_id IS NOT NULL;

CREATE VIEW bronze_ride AS
SELECT
    booking_id, booking_date, booking_time, booking_value, ride_distance, avg_vtat, avg_ctat, driver_rating,
    customer_rating,
    CAST(as_of() AS DATE) AS extraction_date, extraction_month, source_file() AS source_file
FROM loaded AS l ANTI JOIN copy_ride AS c ON l.rowid = c.position
WHERE booking_id IS NOT NULL AND booking_status_name = 'Completed';

CREATE VIEW bronze_cancelled_ride AS
SELECT
    booking_id, booking_date, coalesce(cancelled_by_customer, 0) AS cancelled_by_customer,
    customer_cancellation_reason, coalesce(cancelled_by_driver, 0) AS cancelled_by_driver, driver_cancellation_reason,
    CAST(as_of() AS DATE) AS extraction_date, extraction_month, source_file() AS source_file
FROM loaded AS l ANTI JOIN copy_cancelled_ride AS c ON l.rowid = c.position
WHERE booking_id IS NOT NULL AND (l.cancelled_by_customer IS NOT NULL OR l.cancelled_by_driver IS NOT NULL);

CREATE VIEW bronze_incompleted_ride AS
SELECT
    booking_id, booking_date, incomplete_rides, incomplete_reason,
    CAST(as_of() AS DATE) AS extraction_date, extraction_month, source_file() AS source_file
FROM loaded AS l ANTI JOIN copy_incompleted_ride AS c ON l.rowid = c.position
WHERE booking_id IS NOT NULL AND incomplete_rides IS NOT NULL;

-- Silver, facts.

CREATE VIEW silver_customer AS
SELECT customer_id, first_booking_date AS first_seen, last_booking_date AS last_seen, total_bookings,
    as_of() AS created_at, as_of() AS updated_at
FROM by_customer;

CREATE VIEW silver_booking AS
SELECT
    booking_id, extraction_month, booking_date, booking_time, customer_id, vehicle_type_id,
    p.location_id AS pickup_location_id, d.location_id AS drop_location_id, booking_status_id, payment_method_id,
    booking_value, ride_distance, avg_vtat, avg_ctat, driver_rating, customer_rating,
    as_of() AS created_at, as_of() AS updated_at
FROM loaded AS l ANTI JOIN copy_booking AS c ON l.rowid = c.position
LEFT JOIN silver_vehicle_type AS v USING (vehicle_type_name)
LEFT JOIN silver_location AS p ON p.location_name = l.pickup_location
LEFT JOIN silver_location AS d ON d.location_name = l.drop_location
LEFT JOIN silver_booking_status AS s USING (booking_status_name)
LEFT JOIN silver_payment_method AS m USING (payment_method_name)
WHERE booking_id IS NOT NULL;

CREATE VIEW silver_ride AS
SELECT
    row_number() OVER () AS ride_id, booking_id, extraction_month, booking_date, booking_time,
    booking_value, ride_distance, avg_vtat, avg_ctat, driver_rating, customer_rating,
    as_of() AS created_at, as_of() AS updated_at
FROM bronze_ride;

CREATE VIEW silver_cancelled_ride AS
SELECT
    row_number() OVER () AS cancellation_id, booking_id, extraction_month, booking_date,
    cancelled_by_customer, customer_cancellation_reason, cancelled_by_driver, driver_cancellation_reason,
    as_of() AS created_at, as_of() AS updated_at
FROM bronze_cancelled_ride;

CREATE VIEW silver_incompleted_ride AS
SELECT
    row_number() OVER () AS incompleted_id, booking_id, extraction_month, booking_date, incomplete_rides,
    incomplete_reason, as_of() AS created_at, as_of() AS updated_at
FROM bronze_incompleted_ride;

-- Gold. What a booking's names stand for need not be looked up: every name has its row in silver.

CREATE VIEW gold_daily_booking_summary AS
SELECT
    booking_date, vehicle_type_name, booking_status_name, count(*) AS total_bookings,
    coalesce(sum(booking_value), 0) AS total_revenue,
    CAST(sum(booking_value) AS DOUBLE) / count(booking_value) AS avg_booking_value,
    as_of() AS created_at, as_of() AS updated_at
FROM loaded AS l ANTI JOIN copy_booking AS c ON l.rowid = c.position
WHERE booking_id IS NOT NULL AND booking_date IS NOT NULL
    AND vehicle_type_name IS NOT NULL AND booking_status_name IS NOT NULL
GROUP BY booking_date, vehicle_type_name, booking_status_name;

CREATE VIEW gold_customer_analytics AS
SELECT
    customer_id, total_bookings, coalesce(total_spent, 0) AS total_spent,
    CAST(total_spent AS DOUBLE) / valued AS avg_booking_value, first_booking_date, last_booking_date,
    CAST(last_booking_date - first_booking_date AS BIGINT) AS customer_lifetime_days,
    as_of() AS created_at, as_of() AS updated_at
FROM by_customer;

CREATE VIEW gold_location_analytics AS
WITH booking AS MATERIALIZED (
    SELECT pickup_location, drop_location, booking_value
    FROM loaded AS l ANTI JOIN copy_booking AS c ON l.rowid = c.position
    WHERE booking_id IS NOT NULL
),
begins AS (
    SELECT pickup_location AS location_name, count(*) AS pickups,
        CAST(sum(booking_value) AS DOUBLE) / count(booking_value) AS avg_booking_value
    FROM booking GROUP BY ALL
),
ends AS (SELECT drop_location AS location_name, count(*) AS dropoffs FROM booking GROUP BY ALL)
SELECT
    location_id, location_name, coalesce(pickups, 0) AS pickups, coalesce(dropoffs, 0) AS dropoffs,
    coalesce(pickups, 0) + coalesce(dropoffs, 0) AS total_activity, coalesce(avg_booking_value, 0) AS avg_booking_value,
    as_of() AS created_at, as_of() AS updated_at
FROM silver_location LEFT JOIN begins USING (location_name) LEFT JOIN ends USING (location_name);
