//! What a role lacks is found before a backup starts.

use super::*;
use lifeboat::engines::postgres::privileges;
use lifeboat::engines::{Finding, Level};

async fn findings(session: &Session) -> Vec<Finding> {
    privileges::look(session).await.unwrap().findings
}

fn errors(findings: &[Finding]) -> Vec<String> {
    findings.iter().filter(|f| f.level == Level::Error).map(|f| f.message.clone()).collect()
}

#[tokio::test]
async fn everything_that_a_role_may_not_read_is_named() {
    for major in [15, 17] {
        let server = shared(major);
        let (name, role) = (server.database().await, server.role("").await);
        server
            .sql(
                &name,
                &format!(
                    "CREATE TABLE public.open (a int); GRANT SELECT ON public.open TO {role}; \
                     CREATE TABLE public.shut (a int); CREATE SEQUENCE public.numbers; \
                     CREATE SCHEMA hidden; CREATE TABLE hidden.t (a int); GRANT SELECT ON hidden.t TO {role}; \
                     SELECT lo_create(4711); \
                     CREATE TABLE public.secret (a int); GRANT SELECT ON public.secret TO {role}; \
                     ALTER TABLE public.secret ENABLE ROW LEVEL SECURITY"
                ),
            )
            .await;
        let session = open(&server.url_as(&role, "role", &name)).await;
        let found = findings(&session).await;
        assert_eq!(
            errors(&found),
            [
                format!("`{role}` may not use 1 schema: hidden"),
                format!("`{role}` may not read 1 table: public.shut"),
                format!("`{role}` may not read 1 sequence: public.numbers"),
                format!("`{role}` may not read 1 large object: 4711"),
                format!("row-level security hides rows from `{role}` in 1 table: public.secret"),
            ]
        );
        assert_eq!(
            found[0].hint.as_deref(),
            Some(format!("run GRANT pg_read_all_data TO \"{role}\"").as_str())
        );

        server
            .sql(&name, &format!("GRANT pg_read_all_data TO {role}; GRANT SELECT ON LARGE OBJECT 4711 TO {role}; ALTER ROLE {role} BYPASSRLS"))
            .await;
        let found = findings(&session).await;
        assert!(errors(&found).is_empty(), "{found:?}");
        assert_eq!(found[0].message, format!("`{role}` may read all 4 tables"));
    }
}

#[tokio::test]
async fn an_owner_is_not_hidden_from_unless_forced() {
    let server = shared(15);
    let (name, role) = (server.database().await, server.role("").await);
    server
        .sql(
            &name,
            &format!("CREATE TABLE public.t (a int); ALTER TABLE public.t OWNER TO {role}; ALTER TABLE public.t ENABLE ROW LEVEL SECURITY"),
        )
        .await;
    let session = open(&server.url_as(&role, "role", &name)).await;
    assert!(errors(&findings(&session).await).is_empty());
    server.sql(&name, "ALTER TABLE public.t FORCE ROW LEVEL SECURITY").await;
    assert_eq!(errors(&findings(&session).await).len(), 1);
    // What the error spares the user: the read itself fails with these settings.
    let error = session.batch("SELECT * FROM public.t").await.unwrap_err();
    assert!(error.message().contains("row-level security"), "{error:?}");
}

#[tokio::test]
async fn what_a_backup_does_not_bring_is_a_warning() {
    let server = shared(17);
    let (name, role) = (server.database().await, server.role("IN ROLE pg_read_all_data").await);
    server
        .sql(
            &name,
            "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER elsewhere FOREIGN DATA WRAPPER w; \
             CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE)",
        )
        .await;
    let blocked = server.session(&name).await;
    let gid = unique("gid");
    blocked.batch_execute(&format!("BEGIN; CREATE TABLE x (); PREPARE TRANSACTION '{gid}'")).await.unwrap();
    let session = open(&server.url_as(&role, "role", &name)).await;
    let found = findings(&session).await;
    let subjects: Vec<&str> =
        found.iter().filter(|f| f.level == Level::Warning).map(|f| f.subject.as_str()).collect();
    assert_eq!(subjects, ["foreign servers", "subscriptions", "prepared transactions"], "{found:?}");
    blocked.batch_execute(&format!("ROLLBACK PREPARED '{gid}'")).await.unwrap();
    blocked.batch_execute("DROP SUBSCRIPTION s").await.unwrap();
}
