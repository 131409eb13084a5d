-- In every table some rows change and some go; which ones, the seed says.
do $$
declare
    number int;
    named text;
begin
    for number in 0 .. current_setting('fleet.tables')::int - 1 loop
        named := 'table_' || to_char(number, 'FM00');
        execute format('update fleet.%I set amount = amount + 1
            where id in (select id from fleet.%I order by hashint8(id + $1) limit $2)', named, named)
            using current_setting('fleet.seed')::int, current_setting('fleet.rows')::int;
        execute format('delete from fleet.%I
            where id in (select id from fleet.%I order by hashint8(id - $1) limit $2 / 2)', named, named)
            using current_setting('fleet.seed')::int, current_setting('fleet.rows')::int;
    end loop;
end
$$;
