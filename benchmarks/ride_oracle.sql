-- What the 21 ride tables must hold, straight from the CSV: one table each in the schema `oracle`. Given are
-- `oracle.delivery` (the file's 21 columns as text, and `position` in it) and the variables as_of and source_file.
-- Every "first" is by position in the file, which no two rows share: nothing here depends on threads.

CREATE MACRO oracle.cleaned(text) AS nullif(nullif(trim(replace(text, '"', ''), E' \t\r\n'), ''), 'null');

CREATE TABLE oracle.loaded AS
SELECT
    position,
    CAST(oracle.cleaned("Date") AS DATE) AS booking_date,
    CAST(oracle.cleaned("Time") AS TIME) AS booking_time,
    oracle.cleaned("Booking ID") AS booking_id,
    oracle.cleaned("Booking Status") AS booking_status_name,
    oracle.cleaned("Customer ID") AS customer_id,
    oracle.cleaned("Vehicle Type") AS vehicle_type_name,
    oracle.cleaned("Pickup Location") AS pickup_location,
    oracle.cleaned("Drop Location") AS drop_location,
    CAST(oracle.cleaned("Avg VTAT") AS DOUBLE) AS avg_vtat,
    CAST(oracle.cleaned("Avg CTAT") AS DOUBLE) AS avg_ctat,
    CAST(oracle.cleaned("Cancelled Rides by Customer") AS DOUBLE) AS cancelled_by_customer,
    oracle.cleaned("Reason for cancelling by Customer") AS customer_cancellation_reason,
    CAST(oracle.cleaned("Cancelled Rides by Driver") AS DOUBLE) AS cancelled_by_driver,
    oracle.cleaned("Driver Cancellation Reason") AS driver_cancellation_reason,
    CAST(oracle.cleaned("Incomplete Rides") AS DOUBLE) AS incomplete_rides,
    oracle.cleaned("Incomplete Rides Reason") AS incomplete_reason,
    CAST(oracle.cleaned("Booking Value") AS DECIMAL(18, 2)) AS booking_value,
    CAST(oracle.cleaned("Ride Distance") AS DOUBLE) AS ride_distance,
    CAST(oracle.cleaned("Driver Ratings") AS DOUBLE) AS driver_rating,
    CAST(oracle.cleaned("Customer Rating") AS DOUBLE) AS customer_rating,
    oracle.cleaned("Payment Method") AS payment_method_name,
    CAST(getvariable('as_of') AS DATE) AS extraction_date,
    strftime(CAST(oracle.cleaned("Date") AS DATE), '%Y-%m') AS extraction_month,
    CAST(getvariable('source_file') AS VARCHAR) AS source_file
FROM oracle.delivery;

-- Bronze: rows with a null in the first key column are dropped, then the first row of each key is kept.

CREATE TABLE oracle.bronze_customer AS
SELECT customer_id, booking_id, booking_date, extraction_date, extraction_month, source_file
FROM oracle.loaded
WHERE customer_id IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY customer_id, booking_id, extraction_month ORDER BY position) = 1;

CREATE TABLE oracle.first_vehicle_type AS
SELECT position, vehicle_type_name, booking_id, extraction_date, extraction_month, source_file
FROM oracle.loaded
WHERE vehicle_type_name IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY vehicle_type_name, booking_id, extraction_month ORDER BY position) = 1;

CREATE TABLE oracle.bronze_vehicle_type AS SELECT * EXCLUDE (position) FROM oracle.first_vehicle_type;

CREATE TABLE oracle.first_location AS
WITH both_ends AS (
    SELECT 1 AS pass, 'pickup' AS location_type, pickup_location AS location_name, * FROM oracle.loaded
    UNION ALL
    SELECT 2 AS pass, 'drop' AS location_type, drop_location AS location_name, * FROM oracle.loaded
)
SELECT pass, position, location_name, location_type, booking_id, extraction_date, extraction_month, source_file
FROM both_ends
WHERE location_name IS NOT NULL
QUALIFY row_number() OVER (
    PARTITION BY location_name, location_type, booking_id, extraction_month ORDER BY pass, position
) = 1;

CREATE TABLE oracle.bronze_location AS SELECT * EXCLUDE (pass, position) FROM oracle.first_location;

CREATE TABLE oracle.first_booking_status AS
SELECT position, booking_status_name, booking_id, extraction_date, extraction_month, source_file
FROM oracle.loaded
WHERE booking_status_name IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY booking_status_name, booking_id, extraction_month ORDER BY position) = 1;

CREATE TABLE oracle.bronze_booking_status AS SELECT * EXCLUDE (position) FROM oracle.first_booking_status;

CREATE TABLE oracle.first_payment_method AS
SELECT position, payment_method_name, booking_id, extraction_date, extraction_month, source_file
FROM oracle.loaded
WHERE payment_method_name IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY payment_method_name, booking_id, extraction_month ORDER BY position) = 1;

CREATE TABLE oracle.bronze_payment_method AS SELECT * EXCLUDE (position) FROM oracle.first_payment_method;

CREATE TABLE oracle.first_booking AS
SELECT *
FROM oracle.loaded
WHERE booking_id IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY booking_id, extraction_month ORDER BY position) = 1;

CREATE TABLE oracle.bronze_booking AS
SELECT
    booking_id, booking_date, booking_time, customer_id, vehicle_type_name, pickup_location, drop_location,
    booking_status_name, payment_method_name, booking_value, ride_distance, avg_vtat, avg_ctat, driver_rating,
    customer_rating, extraction_date, extraction_month, source_file
FROM oracle.first_booking;

CREATE TABLE oracle.first_ride AS
SELECT
    position, booking_id, booking_date, booking_time, booking_value, ride_distance, avg_vtat, avg_ctat, driver_rating,
    customer_rating, extraction_date, extraction_month, source_file
FROM oracle.loaded
WHERE booking_id IS NOT NULL AND booking_status_name = 'Completed'
QUALIFY row_number() OVER (PARTITION BY booking_id, extraction_month ORDER BY position) = 1;

CREATE TABLE oracle.bronze_ride AS SELECT * EXCLUDE (position) FROM oracle.first_ride;

CREATE TABLE oracle.first_cancelled_ride AS
SELECT
    position, booking_id, booking_date,
    CAST(coalesce(cancelled_by_customer, 0) AS INTEGER) AS cancelled_by_customer, customer_cancellation_reason,
    CAST(coalesce(cancelled_by_driver, 0) AS INTEGER) AS cancelled_by_driver, driver_cancellation_reason,
    extraction_date, extraction_month, source_file
FROM oracle.loaded AS l
WHERE booking_id IS NOT NULL AND (l.cancelled_by_customer IS NOT NULL OR l.cancelled_by_driver IS NOT NULL)
QUALIFY row_number() OVER (PARTITION BY booking_id, extraction_month ORDER BY position) = 1;

CREATE TABLE oracle.bronze_cancelled_ride AS SELECT * EXCLUDE (position) FROM oracle.first_cancelled_ride;

CREATE TABLE oracle.first_incompleted_ride AS
SELECT
    position, booking_id, booking_date, CAST(l.incomplete_rides AS INTEGER) AS incomplete_rides, incomplete_reason,
    extraction_date, extraction_month, source_file
FROM oracle.loaded AS l
WHERE booking_id IS NOT NULL AND l.incomplete_rides IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY booking_id, extraction_month ORDER BY position) = 1;

CREATE TABLE oracle.bronze_incompleted_ride AS SELECT * EXCLUDE (position) FROM oracle.first_incompleted_ride;

-- Silver: dimensions are numbered by first appearance in bronze, the narrow facts by position in the file.

CREATE TABLE oracle.silver_customer AS
SELECT customer_id, min(booking_date) AS first_seen, max(booking_date) AS last_seen, count(*) AS total_bookings
FROM oracle.bronze_booking
WHERE customer_id IS NOT NULL
GROUP BY customer_id;

CREATE TABLE oracle.silver_vehicle_type AS
SELECT row_number() OVER (ORDER BY min(position)) AS vehicle_type_id, vehicle_type_name
FROM oracle.first_vehicle_type
GROUP BY vehicle_type_name;

CREATE TABLE oracle.silver_location AS
SELECT row_number() OVER (ORDER BY min((pass, position))) AS location_id, location_name
FROM oracle.first_location
GROUP BY location_name;

CREATE TABLE oracle.silver_booking_status AS
SELECT row_number() OVER (ORDER BY min(position)) AS booking_status_id, booking_status_name
FROM oracle.first_booking_status
GROUP BY booking_status_name;

CREATE TABLE oracle.silver_payment_method AS
SELECT row_number() OVER (ORDER BY min(position)) AS payment_method_id, payment_method_name
FROM oracle.first_payment_method
GROUP BY payment_method_name;

CREATE TABLE oracle.silver_booking AS
SELECT
    b.booking_id, b.extraction_month, b.booking_date, b.booking_time, b.customer_id, v.vehicle_type_id,
    p.location_id AS pickup_location_id, d.location_id AS drop_location_id, s.booking_status_id, m.payment_method_id,
    b.booking_value, b.ride_distance, b.avg_vtat, b.avg_ctat, b.driver_rating, b.customer_rating
FROM oracle.bronze_booking AS b
LEFT JOIN oracle.silver_vehicle_type AS v ON v.vehicle_type_name = b.vehicle_type_name
LEFT JOIN oracle.silver_location AS p ON p.location_name = b.pickup_location
LEFT JOIN oracle.silver_location AS d ON d.location_name = b.drop_location
LEFT JOIN oracle.silver_booking_status AS s ON s.booking_status_name = b.booking_status_name
LEFT JOIN oracle.silver_payment_method AS m ON m.payment_method_name = b.payment_method_name;

CREATE TABLE oracle.silver_ride AS
SELECT
    row_number() OVER (ORDER BY position) AS ride_id, booking_id, extraction_month,
    * EXCLUDE (position, booking_id, extraction_date, extraction_month, source_file)
FROM oracle.first_ride;

CREATE TABLE oracle.silver_cancelled_ride AS
SELECT
    row_number() OVER (ORDER BY position) AS cancellation_id, booking_id, extraction_month,
    * EXCLUDE (position, booking_id, extraction_date, extraction_month, source_file)
FROM oracle.first_cancelled_ride;

CREATE TABLE oracle.silver_incompleted_ride AS
SELECT
    row_number() OVER (ORDER BY position) AS incompleted_id, booking_id, extraction_month,
    * EXCLUDE (position, booking_id, extraction_date, extraction_month, source_file)
FROM oracle.first_incompleted_ride;

-- Gold: sums of nothing are 0; averages of nothing are null, but 0 for a location. The sum is exact and so is the mean.

CREATE TABLE oracle.gold_daily_booking_summary AS
SELECT
    b.booking_date, v.vehicle_type_name, s.booking_status_name,
    count(*) AS total_bookings,
    coalesce(sum(b.booking_value), 0) AS total_revenue,
    CAST(sum(b.booking_value) AS DOUBLE) / count(b.booking_value) AS avg_booking_value
FROM oracle.silver_booking AS b
JOIN oracle.silver_vehicle_type AS v USING (vehicle_type_id)
JOIN oracle.silver_booking_status AS s USING (booking_status_id)
WHERE b.booking_date IS NOT NULL
GROUP BY ALL;

CREATE TABLE oracle.gold_customer_analytics AS
SELECT
    c.customer_id,
    count(b.booking_id) AS total_bookings,
    coalesce(sum(b.booking_value), 0) AS total_spent,
    CAST(sum(b.booking_value) AS DOUBLE) / count(b.booking_value) AS avg_booking_value,
    min(b.booking_date) AS first_booking_date,
    max(b.booking_date) AS last_booking_date,
    date_diff('day', min(b.booking_date), max(b.booking_date)) AS customer_lifetime_days
FROM oracle.silver_customer AS c
LEFT JOIN oracle.silver_booking AS b USING (customer_id)
GROUP BY c.customer_id;

CREATE TABLE oracle.gold_location_analytics AS
WITH pickups AS (
    SELECT
        pickup_location_id AS location_id, count(*) AS pickups,
        CAST(sum(booking_value) AS DOUBLE) / count(booking_value) AS avg_booking_value
    FROM oracle.silver_booking
    GROUP BY ALL
),
dropoffs AS (SELECT drop_location_id AS location_id, count(*) AS dropoffs FROM oracle.silver_booking GROUP BY ALL)
SELECT
    location_id, location_name,
    coalesce(pickups, 0) AS pickups,
    coalesce(dropoffs, 0) AS dropoffs,
    coalesce(pickups, 0) + coalesce(dropoffs, 0) AS total_activity,
    coalesce(avg_booking_value, 0) AS avg_booking_value
FROM oracle.silver_location
LEFT JOIN pickups USING (location_id)
LEFT JOIN dropoffs USING (location_id);
