-- What scripts/test-cluster backs up: about 350 MB, of which the most does not compress well, so that a backup takes
-- long enough to be killed in the middle.
create table customers (id bigint primary key, email text not null unique, joined timestamptz not null);
create table orders (
  id bigint primary key,
  customer bigint not null references customers,
  created_at timestamptz not null,
  total numeric(12, 2) not null
);
create table events (id bigint not null, at timestamptz not null, payload jsonb not null);
insert into customers select i, 'customer' || i || '@example.com', now() - i * interval '7 minutes' from generate_series(1, 50000) i;
insert into orders select i, 1 + (i * 7919) % 50000, now() - (800000 - i) * interval '11 seconds', (i * 31 % 90000) / 100.0
from generate_series(1, 800000::bigint) i;
insert into events select i, now() - (900000 - i) * interval '10 seconds',
  jsonb_build_object('customer', i % 50000, 'session', md5(i::text) || md5((i * 7)::text), 'path', md5((i * 31)::text) || md5((i * 37)::text))
from generate_series(1, 900000) i;
create index on orders (customer);
create index on events (at);
create view large_orders as select * from orders where total > 500;
analyze;
