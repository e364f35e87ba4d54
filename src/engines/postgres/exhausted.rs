//! What tools say when the server is the cause, and not the data: it ran out of something, or went away.
//!
//! `pg_restore` and `pg_amcheck` hand on the server's message without its SQLSTATE, so these are the texts of
//! 53100 (disk), 53200 (memory), 53300 (connections), 57P01 to 57P05 (ended) and 58030 (input and output).
//! Source: PostgreSQL's `errcodes.txt` and where those codes are used; libpq's `fe-misc.c`.

/// What precedes the server's own message.
const SEVERITIES: [&str; 3] = ["ERROR:  ", "FATAL:  ", "PANIC:  "];

/// How messages of the server begin.
const BEGINNINGS: [&str; 9] = [
    "out of memory",
    "out of shared memory",
    "could not resize shared memory",
    "sorry, too many clients",
    "remaining connection slots",
    "too many connections for",
    "terminating connection",
    "the database system is",
    "temporary file size exceeds",
];

/// How messages of the server end: texts of the operating system.
const ENDS: [&str; 6] = [
    "No space left on device",
    "Disk quota exceeded",
    "Cannot allocate memory",
    "Input/output error",
    "Read-only file system",
    "Too many open files in system",
];

/// What libpq says of a connection that is gone or was refused.
const CONNECTION: [&str; 6] = [
    "server closed the connection unexpectedly",
    "no connection to the server",
    "connection to server",
    "could not receive data from server",
    "could not send data to server",
    "SSL SYSCALL error",
];

/// A row beyond 1 GB is "out of memory" too, and is about the data.
const ROW_TOO_LARGE: &str = "Cannot enlarge string buffer";

/// The first of a tool's lines that says that the server is the cause. A row's value in a message does not
/// count: it is never at the beginning of what the server says, and in quotes at its end.
pub fn first<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lines: Vec<&str> = lines.into_iter().collect();
    if lines.iter().any(|line| line.contains(ROW_TOO_LARGE)) {
        return None;
    }
    lines.into_iter().find(|line| is_about_server(line))
}

fn is_about_server(line: &str) -> bool {
    let at = SEVERITIES.iter().filter_map(|word| Some(line.find(word)? + word.len())).min();
    match at {
        Some(at) => {
            let said = line[at..].trim_end();
            BEGINNINGS.iter().any(|text| said.starts_with(text))
                || ENDS.iter().any(|text| said.ends_with(text))
        }
        None => CONNECTION.iter().any(|text| line.contains(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ran_out_of_something_or_went_away_is_told_from_bad_data() {
        for line in [
            "pg_restore: error: COPY failed for table \"t\": ERROR:  could not extend file \"base/1/2\": No space left on device",
            "pg_restore: error: could not execute query: ERROR:  could not write to file \"base/pgsql_tmp/x\": No space left on device",
            "pg_restore: error: could not execute query: ERROR:  out of memory",
            "pg_restore: error: could not execute query: ERROR:  could not resize shared memory segment \"/PostgreSQL.1\" to 8 bytes: No space left on device",
            "pg_restore: error: connection to server at \"h\", port 1 failed: FATAL:  sorry, too many clients already",
            "pg_restore: error: could not execute query: FATAL:  terminating connection due to administrator command",
            "pg_restore: error: error returned by PQputCopyData: server closed the connection unexpectedly",
            "pg_restore: error: could not execute query: no connection to the server",
            "pg_amcheck: error: connection to server on socket \"/x\" failed: Connection refused",
        ] {
            assert_eq!(first(["pg_restore: warning: a", line]), Some(line), "{line}");
        }
        for line in [
            "pg_restore: error: COPY failed for table \"t\": ERROR:  invalid input syntax for type integer: \"No space left on device\"",
            "pg_restore: error: COPY failed for table \"t\": ERROR:  duplicate key value violates unique constraint \"out of memory\"",
            "pg_restore: error: could not execute query: ERROR:  type \"out of memory\" does not exist",
            "pg_restore: error: could not execute query: ERROR:  invalid memory alloc request size 1073741824",
            "pg_restore: error: unexpected end of file",
        ] {
            assert_eq!(first([line]), None, "{line}");
        }
        let row = [
            "pg_restore: error: COPY failed for table \"t\": ERROR:  out of memory",
            "DETAIL:  Cannot enlarge string buffer containing 1073741822 bytes by 1 more bytes.",
        ];
        assert_eq!(first(row), None);
    }
}
