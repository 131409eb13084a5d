-- As many rows as are wanted into every table; the same seed gives the same rows.
do $$
declare
    number int;
begin
    for number in 0 .. current_setting('fleet.tables')::int - 1 loop
        execute format('insert into fleet.%I (id, name, amount, updated_at)
            select n, ''row '' || n, (hashint8(n * 1000 + $1 * 100 + $2)::bigint & 8388607) / 100.0, now()
            from generate_series(1, $3) n', 'table_' || to_char(number, 'FM00'))
            using number, current_setting('fleet.seed')::int, current_setting('fleet.rows')::int;
    end loop;
end
$$;
