-- Something of everything that PostgreSQL 15 has. Roles: kitchen_owner, kitchen_app, "kitchen ""quoted""".
-- The large numbers of rows are small enough for tests and large enough for several frames.

CREATE EXTENSION hstore;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION btree_gist;
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION file_fdw;

CREATE SCHEMA app AUTHORIZATION kitchen_owner;
CREATE SCHEMA "naïve.schema";
COMMENT ON SCHEMA "naïve.schema" IS 'a name with a dot; it''s Unicode';

-- Types.
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'happy');
ALTER TYPE app.mood ADD VALUE 'it''s "odd"' BEFORE 'ok';
CREATE TYPE app.pair AS (a int, "b c" text, d app.mood);
CREATE TYPE app.span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE DOMAIN app.positive AS int CHECK (VALUE > 0);
CREATE DOMAIN app.email AS text COLLATE "C" CONSTRAINT has_at CHECK (VALUE LIKE '%@%') DEFAULT 'a@b';
CREATE COLLATION app."c too" (locale = 'C');

-- Functions, aggregates, operators, casts.
CREATE FUNCTION app.add_up(state int, next int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, 0) + coalesce($2, 0)';
CREATE FUNCTION app.add_up(state text, next text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT $1 || ';' || $2$$;
CREATE AGGREGATE app.total (int) (SFUNC = app.add_up, STYPE = int, INITCOND = '0');
CREATE OPERATOR app.## (LEFTARG = int, RIGHTARG = int, FUNCTION = app.add_up);
CREATE FUNCTION app.to_pair(int) RETURNS app.pair LANGUAGE sql IMMUTABLE AS $$SELECT ROW($1, 'x', 'ok')::app.pair$$;
CREATE CAST (int AS app.pair) WITH FUNCTION app.to_pair(int);
CREATE PROCEDURE app.nothing() LANGUAGE plpgsql AS $body$ BEGIN /* ; \. */ NULL; END $body$;
CREATE FUNCTION app.stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.touched := coalesce(NEW.touched, 0) + 1; RETURN NEW; END $$;
CREATE FUNCTION app.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1; END $$;
CREATE TEXT SEARCH DICTIONARY app.plain (TEMPLATE = simple, STOPWORDS = english);
CREATE TEXT SEARCH CONFIGURATION app.search (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION app.search ALTER MAPPING FOR asciiword WITH app.plain;

-- A table of every type, with hard values.
CREATE TABLE app.types (
  id bigint GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 3) PRIMARY KEY,
  gone int, i2 smallint, n numeric, f4 real, f8 double precision, m money, b boolean,
  t text, c char(5), v varchar(9), raw bytea, d date, ts timestamp, tz timestamptz, ti time, ttz timetz,
  iv interval, u uuid, j json, jb jsonb, x xml, net inet, mac macaddr, bits bit varying, p point, poly polygon,
  tsv tsvector, arr int[], arr2 text[][], e app.mood, es app.mood[], pr app.pair, prs app.pair[], sp app.span,
  ir int4range, im int4multirange, pos app.positive, mail app.email, h hstore, reg regclass, ol oid,
  doubled bigint GENERATED ALWAYS AS (i2 * 2) STORED, touched int);
ALTER TABLE app.types DROP COLUMN gone;
INSERT INTO app.types (i2, n, f4, f8, m, b, t, c, v, raw, d, ts, tz, ti, ttz, iv, u, j, jb, x, net, mac, bits, p, poly, tsv, arr, arr2,
  e, es, pr, prs, sp, ir, im, pos, mail, h, reg, ol) VALUES
 (1, 'NaN', 'NaN', 'Infinity', -12.34, true, E'line\nbreak\ttab\\back\r\n', 'ab', '', '\x00ff5c0a', 'infinity', '-infinity', 'infinity', '24:00', '23:59:59.999999+15:59',
  '-1 year 2 mons -3 days 04:05:06.7', '00000000-0000-0000-0000-000000000000', '{"a" :  1, "a": 2}', '{"a": [1, null, "\u00e9"], "z": 1e400}', '<a b="c">&lt;ü</a>',
  '::1/64', '08:00:2b:01:02:03', B'1011', '(1.5,-0)', '((0,0),(1,1),(1,0))', 'fat:2A cat:1,3', '{1,NULL,-3}', '{{a,"b,c"},{"d\"e",NULL}}',
  'it''s "odd"', '{sad,"it''s \"odd\""}', ROW(1, 'x,"y"', 'happy'), ARRAY[ROW(NULL, NULL, NULL)::app.pair], '[1.5,2.5)', '(,5]', '{[1,3),[7,9)}', 7, 'x@y', 'a=>1, "b c"=>NULL', 'pg_class', 0),
 (NULL, -0.00, '-0', 5e-324, '99999999999.99', false, E'\\.', '', E'\\N', '', '4714-11-24 BC', '294276-12-31 23:59:59.999999', '0001-01-01 00:00:00+00', '00:00', '00:00-12:00',
  'P0D', NULL, 'null', 'null', NULL, '10.0.0.0/8', NULL, B'', NULL, NULL, '', '{}', '{}', NULL, '{}', NULL, '{}', 'empty', 'empty', '{}', NULL, 'a@', '', NULL, 4294967295),
 (-32768, 1e-100, 1.1754944e-38, 1.7976931348623157e308, 0, NULL, '', NULL, NULL, NULL, '-infinity', '1999-12-31 23:59:60', '1883-11-18 12:03:58-04:56:02', NULL, NULL,
  '178000000 years', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (2, 2, 2, 0.1, 1, true, 'NULL', 'NULL', 'null', E'\\x5c2e0a', '2024-02-29', '2024-02-29 12:00', '2024-03-31 02:30:00 Europe/Berlin', '12:00', '12:00+05:45',
  '1 day', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '[]', '[]', 'text only', '192.168.0.1', 'ff:ff:ff:ff:ff:ff', B'0', '(NaN,Infinity)', NULL, NULL, '[2:3]={1,2}', NULL,
  'ok', NULL, ROW(2, '', NULL), NULL, '(,)', '[3,3]', NULL, 1, 'q@q', NULL, 'pg_type', 1);
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON app.types FOR EACH ROW WHEN (NEW.i2 > 0) EXECUTE FUNCTION app.stamp();
ALTER TABLE app.types DISABLE TRIGGER stamp;
CREATE INDEX types_trgm ON app.types USING gin (t gin_trgm_ops);
CREATE INDEX types_part ON app.types (lower(t), i2 DESC NULLS LAST) INCLUDE (n) WHERE i2 > 0;
CREATE STATISTICS app.types_stat (dependencies, mcv) ON i2, b FROM app.types;
ALTER TABLE app.types ALTER COLUMN t SET STATISTICS 500, ALTER COLUMN t SET STORAGE EXTERNAL;
COMMENT ON COLUMN app.types.t IS E'a comment\nof two lines; "quoted"';
ALTER TABLE app.types OWNER TO kitchen_owner;

-- Names.
CREATE TABLE "we""ird table" ("col ""1""" int, "a,b" text, "täb	tab" text, "select" int);
INSERT INTO "we""ird table" VALUES (1, 'a,b', 'x', 2), (NULL, '', NULL, NULL), (1, 'a,b', 'x', 2);
CREATE TABLE "naïve.schema"."täble" ("größe" int PRIMARY KEY, "日本" text);
INSERT INTO "naïve.schema"."täble" SELECT i, repeat('ü€😀', i % 7) FROM generate_series(1, 500) i;
CREATE TABLE "new
line" (a int); INSERT INTO "new
line" VALUES (1), (2);
CREATE TABLE "dots.in.it" (a int); INSERT INTO "dots.in.it" VALUES (3);
CREATE TABLE "MiXed" (a int); CREATE TABLE " lead and trail " (a int); INSERT INTO " lead and trail " VALUES (9);

-- No columns, no rows, many rows, one huge row.
CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
CREATE TABLE empty (id int, t text);
CREATE TABLE many (id int, t text); INSERT INTO many SELECT i, md5(i::text) FROM generate_series(1, 20000) i;
CREATE TABLE huge (id int, t text); INSERT INTO huge VALUES (1, repeat(E'0123456789abcde\\', 196608)), (2, ''), (3, NULL);
CREATE UNLOGGED TABLE fast (id int); INSERT INTO fast VALUES (1), (2);

-- Partitions: range with a list below, a leaf attached with another order of columns, hash on an enum, a default.
CREATE TABLE events (id int NOT NULL, kind text NOT NULL, at date NOT NULL, note text, PRIMARY KEY (id, kind, at)) PARTITION BY RANGE (at);
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (kind);
CREATE TABLE events_2025_a PARTITION OF events_2025 FOR VALUES IN ('a', 'b');
CREATE TABLE events_2025_rest PARTITION OF events_2025 DEFAULT;
CREATE TABLE events_old (note text, dropped int, at date NOT NULL, kind text NOT NULL, id int NOT NULL);
ALTER TABLE events_old DROP COLUMN dropped;
ALTER TABLE events ATTACH PARTITION events_old FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
CREATE INDEX events_kind ON events (kind);
INSERT INTO events SELECT i, substr('abcd', 1 + i % 4, 1), '2023-06-01'::date + i, CASE WHEN i % 5 > 0 THEN 'note ' || i END FROM generate_series(1, 900) i;
CREATE TABLE moods (m app.mood, i int) PARTITION BY HASH (m);
CREATE TABLE moods_0 PARTITION OF moods FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE moods_1 PARTITION OF moods FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE moods_2 PARTITION OF moods FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO moods SELECT (enum_range(NULL::app.mood))[1 + i % 4], i FROM generate_series(1, 400) i;

-- Inheritance.
CREATE TABLE parent (id int, t text DEFAULT 'p'); CREATE TABLE child (extra int) INHERITS (parent);
INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (3, 'c', 4);

-- Constraints: a cycle of foreign keys, one that is not valid, an exclusion.
CREATE TABLE chicken (id int PRIMARY KEY, egg int NOT NULL);
CREATE TABLE egg (id int PRIMARY KEY, chicken int NOT NULL REFERENCES chicken DEFERRABLE INITIALLY DEFERRED, parent int REFERENCES egg);
ALTER TABLE chicken ADD CONSTRAINT laid FOREIGN KEY (egg) REFERENCES egg DEFERRABLE INITIALLY DEFERRED;
BEGIN; INSERT INTO chicken SELECT i, i FROM generate_series(1, 20) i; INSERT INTO egg SELECT i, i, 21 - i FROM generate_series(1, 20) i; COMMIT;
CREATE TABLE customers (id serial PRIMARY KEY, name text UNIQUE NOT NULL);
INSERT INTO customers (name) SELECT 'customer ' || i FROM generate_series(1, 30) i;
CREATE TABLE orders (id bigserial PRIMARY KEY, customer int NOT NULL REFERENCES customers ON DELETE CASCADE, total numeric(10, 2), during tstzrange,
  EXCLUDE USING gist (customer WITH =, during WITH &&));
INSERT INTO orders (customer, total) SELECT 1 + i % 30, i * 1.01 FROM generate_series(1, 300) i;
ALTER TABLE orders ADD CONSTRAINT large CHECK (total > 100) NOT VALID;

-- Views, rules, materialized views.
CREATE VIEW app.big WITH (security_barrier) AS SELECT * FROM orders WHERE total > 200 WITH LOCAL CHECK OPTION;
CREATE VIEW writable AS SELECT id, t FROM parent;
CREATE RULE silent AS ON DELETE TO writable DO INSTEAD NOTHING;
CREATE MATERIALIZED VIEW sums AS SELECT customer, sum(total) AS total FROM orders GROUP BY 1;
CREATE UNIQUE INDEX sums_customer ON sums (customer);
CREATE MATERIALIZED VIEW of_sums AS SELECT count(*) AS n FROM sums;
CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS x WITH NO DATA;

-- Sequences.
CREATE SEQUENCE fresh START 42; CREATE SEQUENCE used AS smallint CYCLE; SELECT nextval('used'), nextval('used');
CREATE SEQUENCE down INCREMENT -5 MAXVALUE 100 START 90; SELECT nextval('down'), nextval('down');
CREATE SEQUENCE owned OWNED BY many.id; SELECT setval('owned', 7, false);

-- Row-level security and privileges.
ALTER TABLE customers ENABLE ROW LEVEL SECURITY; ALTER TABLE customers FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON customers FOR SELECT TO kitchen_app, "kitchen ""quoted""" USING (name = current_user);
CREATE POLICY all_of_it ON customers AS RESTRICTIVE USING (true) WITH CHECK (id > 0);
GRANT SELECT, INSERT ON orders TO kitchen_app; GRANT UPDATE (total) ON orders TO "kitchen ""quoted""" WITH GRANT OPTION;
GRANT USAGE ON SCHEMA app TO PUBLIC; REVOKE EXECUTE ON FUNCTION app.add_up(int, int) FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE kitchen_owner IN SCHEMA app GRANT SELECT ON TABLES TO kitchen_app;

-- Foreign data that cannot be reached.
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '192.0.2.1', dbname 'x');
CREATE USER MAPPING FOR kitchen_app SERVER far OPTIONS (user 'x', password 'y''z');
CREATE FOREIGN TABLE far_away (id int, t text OPTIONS (column_name 'other')) SERVER far OPTIONS (table_name 'q');
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE passwd (line text) SERVER files OPTIONS (filename '/nowhere/at/all');

CREATE PUBLICATION news FOR TABLE orders WHERE (total > 5), customers WITH (publish = 'insert');

-- Large objects: empty, small, more than one page, with a hole, owned and commented.
SELECT lo_from_bytea(4001, 'hello'), lo_from_bytea(4002, ''), lo_from_bytea(4003, convert_to(repeat('0123456789', 70000), 'UTF8'));
DO $$ DECLARE fd int; BEGIN PERFORM lo_create(4004); fd := lo_open(4004, 131072); PERFORM lowrite(fd, '\x0001'); PERFORM lo_lseek64(fd, 100000, 0); PERFORM lowrite(fd, '\xff'); PERFORM lo_close(fd); END $$;
COMMENT ON LARGE OBJECT 4001 IS 'greets'; ALTER LARGE OBJECT 4001 OWNER TO kitchen_owner; GRANT SELECT ON LARGE OBJECT 4001 TO kitchen_app;

CREATE EVENT TRIGGER watching ON ddl_command_end EXECUTE FUNCTION app.watch();
