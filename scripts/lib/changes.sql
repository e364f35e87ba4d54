-- A day of business in the shop: what the second backup has and the first has not.
update orders set state = 'shipped' where state = 'paid' and id % 5 = 0;
insert into orders (customer, state, created_at, total)
select 1 + i % 100000, 'new', now() - (5000 - i) * interval '1 second', 10 from generate_series(1, 5000::bigint) i;
insert into events select 2000000 + i, now(), jsonb_build_object('kind', 'pay', 'customer', i) from generate_series(1, 20000) i;
delete from events where at < now() - interval '120 days';
refresh materialized view revenue;
