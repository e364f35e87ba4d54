-- One table of jsonb events of about 1 GiB with three indexes, and 200 small tables; pgbench makes
-- the rest. Used by scripts/bench.
create table events (
  id bigint generated always as identity primary key,
  created_at timestamptz not null,
  account bigint not null,
  kind text not null,
  payload jsonb not null
);
insert into events (created_at, account, kind, payload)
select timestamptz '2026-01-01' + i * interval '7 seconds', (i::bigint * 7919) % 100000,
  (array['order.created', 'order.paid', 'order.shipped', 'cart.changed', 'login'])[1 + i % 5],
  jsonb_build_object('id', md5(i::text), 'ip', '10.' || i % 256 || '.' || (i / 256) % 256 || '.' || (i / 65536) % 256,
    'amount', round((random() * 1000)::numeric, 2), 'currency', 'BRL',
    'items', jsonb_build_array(
      jsonb_build_object('sku', 'SKU-' || (random() * 100000)::int, 'qty', 1 + i % 9, 'note', md5(random()::text)),
      jsonb_build_object('sku', 'SKU-' || (random() * 100000)::int, 'qty', 1 + i % 7, 'note', md5(random()::text))),
    'agent', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36', 'path', '/shop/' || md5((i % 5000)::text),
    'ok', i % 13 <> 0)
from generate_series(1, 2250000) i;
create index events_created_at on events (created_at);
create index events_account on events (account, kind);
create index events_payload_id on events ((payload->>'id'));
do $$ begin for t in 1..200 loop
  execute format('create table small_%s (id int primary key, name text not null, at timestamptz default now())', t);
  execute format('insert into small_%s select i, md5(i::text || %s) from generate_series(1, 100) i', t, t);
end loop; end $$;
