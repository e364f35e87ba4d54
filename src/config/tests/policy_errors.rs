//! Every error of a policy, word for word.

use super::*;

#[test]
fn wrong_policies() {
    insta::assert_snapshot!(with_policy("[retention]\ntimezone = \"America/Sao_Paolo\""), @r#"
    policies/p.toml:2:1: retention.timezone must be a time zone, not "America/Sao_Paolo" (exit 3)
    hint: did you mean "America/Sao_Paulo"?
    "#);
    insta::assert_snapshot!(with_policy("[retention]\ntimezone = \"BRT\""), @r#"
    policies/p.toml:2:1: retention.timezone must be a time zone, not "BRT" (exit 3)
    hint: use a name of the IANA time zone database, such as "Europe/Berlin"
    "#);
    insta::assert_snapshot!(with_policy("[retention]\ndaily = -1"), @r"
    policies/p.toml:2:1: retention.daily must be a whole number from 0, not -1 (exit 3)
    hint: correct the number; it stands without quotes
    ");
    insta::assert_snapshot!(with_policy("[retention]\ndaily = \"7\""), @r#"
    policies/p.toml:2:1: retention.daily must be a whole number from 0, not "7" (exit 3)
    hint: correct the number; it stands without quotes
    "#);
    insta::assert_snapshot!(with_policy("[retention]\nwithin = \"6m\""), @r#"
    policies/p.toml:2:1: retention.within must be a duration, not "6m" (exit 3)
    hint: write `min` for minutes or `months` for months; `m` is easily mistaken
    "#);
    insta::assert_snapshot!(with_policy("[retention]\nwithin = 30"), @r#"
    policies/p.toml:2:1: retention.within must be a duration, not 30 (exit 3)
    hint: a duration is a number with its unit, such as "90s", "12h" or "30d"
    "#);
    insta::assert_snapshot!(with_policy("[objectives]\nrto = \"fast\""), @r#"
    policies/p.toml:2:1: objectives.rto must be a duration, not "fast" (exit 3)
    hint: a duration is a number with its unit, such as "90s", "12h" or "30d"
    "#);
    insta::assert_snapshot!(with_policy("[drill]\namcheck = true"), @r"
    policies/p.toml:2:1: drill.amcheck must be one of auto, on, off, not true (exit 3)
    hint: use one of these words, in double quotes
    ");
    insta::assert_snapshot!(with_policy("[shrink]\nshare = 0.5"), @r"
    policies/p.toml:2:1: shrink.share must be a whole number from 1 to 100, not 0.5 (exit 3)
    hint: correct the number; it stands without quotes
    ");
    insta::assert_snapshot!(with_policy("[shrink]\naction = \"fial\""), @r#"
    policies/p.toml:2:1: shrink.action must be one of warn, fail, not "fial" (exit 3)
    hint: did you mean "fail"?
    "#);
}

#[test]
fn wrong_checks() {
    let with_check = |check: &str| with_policy(&format!("[[drill.checks]]\nname = \"fresh\"\n{check}\n"));
    insta::assert_snapshot!(with_policy("[drill]\nchecks = \"x\""), @r"
    policies/p.toml:2:1: drill.checks is a list of tables, not a text (exit 3)
    hint: write each check below a line [[drill.checks]]
    ");
    insta::assert_snapshot!(with_policy("[drill]\nchecks = [1]"), @r"
    policies/p.toml:2:11: drill.checks is a list of tables, not of a whole number (exit 3)
    hint: write each check below a line [[drill.checks]]
    ");
    insta::assert_snapshot!(with_policy("[[drill.checks]]\nquery = \"select 1\""), @r#"
    policies/p.toml:2:1: a check in drill.checks has no name (exit 3)
    hint: add `name = "…"` to the check
    "#);
    insta::assert_snapshot!(with_check(""), @r#"
    policies/p.toml:2:1: check "fresh" looks at nothing (exit 3)
    hint: give it a `query`, a `table`, or a `table`, `column` and `max_age`
    "#);
    insta::assert_snapshot!(with_check("querry = \"select 1\""), @r#"
    policies/p.toml:3:1: unknown key `querry` in check "fresh" (exit 3)
    hint: did you mean `query`?
    "#);
    insta::assert_snapshot!(with_check("query = \"select 1\""), @r#"
    policies/p.toml:2:1: check "fresh" expects nothing (exit 3)
    hint: give exactly one of at_least, at_most and equals
    "#);
    insta::assert_snapshot!(with_check("query = \"select 1\"\nat_least = 1\nat_most = 2"), @r#"
    policies/p.toml:2:1: check "fresh" expects several things (exit 3)
    hint: give exactly one of at_least, at_most and equals
    "#);
    insta::assert_snapshot!(with_check("query = \"select 1\"\nat_lest = 1"), @r#"
    policies/p.toml:4:1: unknown key `at_lest` in check "fresh" (exit 3)
    hint: did you mean `at_least`?
    "#);
    insta::assert_snapshot!(with_check("query = \"select 1\"\nat_least = \"1\""), @r#"
    policies/p.toml:4:12: at_least of check "fresh" must be a number, not "1" (exit 3)
    hint: write a number without quotes
    "#);
    insta::assert_snapshot!(with_check("query = \"select 1\"\nequals = [1]"), @r#"
    policies/p.toml:4:10: equals of check "fresh" must be a number, a text, true or false, not a list (exit 3)
    hint: correct the value
    "#);
    insta::assert_snapshot!(with_check("query = 1\nequals = 1"), @r#"
    policies/p.toml:3:9: query of check "fresh" must be a text, not 1 (exit 3)
    hint: put the value in double quotes
    "#);
    insta::assert_snapshot!(with_check("table = \"orders\"\nat_least = -5"), @r#"
    policies/p.toml:2:1: check "fresh" expects a number of rows that cannot be: at least -5 (exit 3)
    hint: rows are counted in whole numbers from 0
    "#);
    insta::assert_snapshot!(with_check("table = \"orders\"\nequals = \"many\""), @r#"
    policies/p.toml:2:1: check "fresh" expects a number of rows that cannot be: equal to "many" (exit 3)
    hint: rows are counted in whole numbers from 0
    "#);
    insta::assert_snapshot!(with_check("table = \"orders\"\ncolumn = \"created_at\""), @r#"
    policies/p.toml:2:1: check "fresh" has no max_age (exit 3)
    hint: add `max_age = "…"` to the check
    "#);
    insta::assert_snapshot!(with_check("table = \"orders\"\ncolumn = \"created_at\"\nmax_age = \"1 dya\""), @r#"
    policies/p.toml:5:11: max_age of check "fresh" must be a duration, not "1 dya" (exit 3)
    hint: a duration is a number with its unit, such as "90s", "12h" or "30d"
    "#);
    insta::assert_snapshot!(with_check("kind = \"row\"\ntable = \"orders\""), @r#"
    policies/p.toml:2:1: check "fresh" is of no known kind: "row" (exit 3)
    hint: did you mean "rows"?
    "#);
    insta::assert_snapshot!(with_check("kind = \"amcheck\""), @r#"
    policies/p.toml:2:1: check "fresh" is of no known kind: "amcheck" (exit 3)
    hint: set `amcheck = "on"` in [drill] instead
    "#);
    insta::assert_snapshot!(with_check("kind = \"rows\"\nquery = \"select 1\"\nat_least = 1"), @r#"
    policies/p.toml:4:1: unknown key `query` in check "fresh" (exit 3)
    hint: known keys: name, kind, table, at_least, at_most, equals
    "#);
    insta::assert_snapshot!(
        with_check("query = \"select 1\"\nequals = 1\n[[drill.checks]]\nname = \"fresh\"\nquery = \"select 2\"\nequals = 2"),
        @r#"
    policies/p.toml:5:1: drill.checks has two checks named "fresh" (exit 3)
    hint: give each check a name of its own
    "#
    );
}
