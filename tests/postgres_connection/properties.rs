//! A database made with the properties of another one.

use super::*;
use lifeboat::engines::postgres::properties::{
    self, CreateOptions, Properties, create_database, finish_database,
};

async fn source(server: &Server) -> (String, String, Properties) {
    let (name, role) = (unique("props"), server.role("").await);
    server
        .sql(
            "postgres",
            &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' OWNER {role} CONNECTION LIMIT 7"),
        )
        .await;
    server
        .sql(
            "postgres",
            &format!(
                "ALTER DATABASE {name} SET search_path = \"$user\", \"a, b\", public; \
                 ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'; \
                 ALTER DATABASE {name} SET my.setting = 'it''s'; \
                 ALTER DATABASE {name} SET default_transaction_read_only = on; \
                 ALTER ROLE {role} IN DATABASE {name} SET work_mem = '5MB'; \
                 REVOKE CONNECT ON DATABASE {name} FROM PUBLIC; GRANT CREATE ON DATABASE {name} TO {role} WITH GRANT OPTION; \
                 COMMENT ON DATABASE {name} IS 'it''s a \\ comment'"
            ),
        )
        .await;
    let session = open(&server.url(&name)).await;
    (name, role, properties::read(&session).await.unwrap())
}

#[tokio::test]
async fn a_copy_has_the_same_properties() {
    for major in [15, 17] {
        let server = shared(major);
        let (_, role, wanted) = source(server).await;
        assert_eq!((wanted.encoding.as_str(), wanted.owner.as_str()), ("SQL_ASCII", role.as_str()));
        let copy = unique("copy");
        let target = open(&server.url("postgres")).await;
        let warnings = create_database(&target, &copy, &wanted, CreateOptions::ALL).await.unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        // A restore can write until the end.
        server.sql(&copy, "CREATE TABLE t (a int)").await;
        let warnings = finish_database(&target, &copy, &wanted, CreateOptions::ALL).await.unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let got = properties::read(&open(&server.url(&copy)).await).await.unwrap();
        assert_eq!(got, Properties { name: copy.clone(), ..wanted.clone() });

        let error = create_database(&target, &copy, &wanted, CreateOptions::ALL).await.unwrap_err();
        assert!(error.message().contains("already exists"), "{error:?}");
    }
}

#[tokio::test]
async fn what_the_target_lacks_is_a_warning_or_an_error() {
    let (_, role, mut wanted) = source(shared(15)).await;
    let server = shared(17);
    let target = open(&server.url("postgres")).await;
    wanted.tablespace = "fast".into();
    wanted.collation_version = None;
    let copy = unique("copy");
    let warnings = create_database(&target, &copy, &wanted, CreateOptions::ALL).await.unwrap();
    let text = warnings.join("\n");
    for part in [
        format!("the owner `{role}` is not a role"),
        "the tablespace `fast` is not on".to_string(),
        format!("`{role}` is not a role of the target, its settings"),
        format!("`{role}` is not a role of the target, its privileges"),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }

    let foreign = Properties { collate: "xx_XX.utf8".into(), ctype: "xx_XX.utf8".into(), ..wanted.clone() };
    let error = create_database(&target, &unique("copy"), &foreign, CreateOptions::DRILL).await.unwrap_err();
    assert!(error.message().contains("has not got the locale `xx_XX.utf8`"), "{error:?}");
    assert!(error.hint_text().unwrap().contains("install the locale"));

    let builtin =
        Properties { locale_provider: "builtin".into(), locale: Some("C.UTF-8".into()), ..wanted.clone() };
    let old = open(&shared(15).url("postgres")).await;
    let error = create_database(&old, &unique("copy"), &builtin, CreateOptions::DRILL).await.unwrap_err();
    assert!(error.hint_text().unwrap().contains("version 17 or newer"), "{error:?}");

    let poor = server.role("").await;
    let session = open(&server.url_as(&poor, "role", "postgres")).await;
    let error = create_database(&session, &unique("copy"), &wanted, CreateOptions::DRILL).await.unwrap_err();
    assert!(error.hint_text().unwrap().contains("CREATEDB"), "{error:?}");
}

#[tokio::test]
async fn another_collation_version_is_a_warning() {
    let server = shared(15);
    let session = open(&server.url("postgres")).await;
    let mut wanted = properties::read(&session).await.unwrap();
    assert!(wanted.collation_version.is_none() || wanted.collate == "C.UTF-8");
    wanted.collate = "en_US.utf8".into();
    wanted.ctype = "en_US.utf8".into();
    wanted.collation_version = Some("1.0".into());
    match create_database(&session, &unique("copy"), &wanted, CreateOptions::DRILL).await {
        Ok(warnings) => assert!(warnings[0].contains("was 1.0 in the source"), "{warnings:?}"),
        // This machine has no such locale, which is the other outcome.
        Err(error) => assert!(error.message().contains("has not got the locale"), "{error:?}"),
    }
}
