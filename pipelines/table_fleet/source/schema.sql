-- The fleet: tables that are alike and do not refer to each other, table_00 and so on. Each stamps what is written.
create schema if not exists fleet;

create or replace function fleet.stamp() returns trigger language plpgsql as $$
begin
    new.updated_at := now();
    return new;
end
$$;

do $$
declare
    named text;
begin
    for number in 0 .. current_setting('fleet.tables')::int - 1 loop
        named := 'table_' || to_char(number, 'FM00');
        execute format('drop table if exists fleet.%I', named);
        execute format('create table fleet.%I (
            id bigint primary key,
            name text not null,
            amount numeric(12, 2) not null,
            updated_at timestamptz not null
        )', named);
        execute format('create index on fleet.%I (updated_at)', named);
        execute format('create trigger stamp before insert or update on fleet.%I
            for each row execute function fleet.stamp()', named);
    end loop;
    -- Who reads a table that is locked gives up after this time, instead of waiting for as long as the lock is held.
    execute format('alter database %I set lock_timeout = %L', current_database(), current_setting('fleet.lock_timeout'));
end
$$;
