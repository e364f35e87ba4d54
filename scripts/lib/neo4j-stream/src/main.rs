//! Streams all nodes and relationships of a server without a login by the crate `neo4j`, and counts them.

use std::sync::Arc;

use neo4j::address::Address;
use neo4j::driver::auth::AuthToken;
use neo4j::driver::{ConnectionConfig, Driver, DriverConfig, RoutingControl};
use neo4j::retry::ExponentialBackoff;

fn main() {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).expect("a port");
    let driver = Driver::new(
        ConnectionConfig::new(Address::from(("127.0.0.1", port))).with_routing(false),
        DriverConfig::new().with_auth(Arc::new(AuthToken::new_none_auth())),
    );
    let queries = [
        "MATCH (n) RETURN id(n), labels(n), properties(n)",
        "MATCH (a)-[r]->(b) RETURN id(r), id(a), id(b), type(r), properties(r)",
    ];
    for query in queries {
        let count = driver
            .execute_query(query)
            .with_routing_control(RoutingControl::Read)
            .with_receiver(|stream| {
                let mut count = 0_u64;
                while let Some(record) = stream.next().transpose()? {
                    std::hint::black_box(&record);
                    count += 1;
                }
                Ok(count)
            })
            .run_with_retry(ExponentialBackoff::default());
        println!("{:?}", count.expect("the stream"));
    }
}
