//! Tests of closing bodies in favour of others, and of their memory.

use crate::admission::unfinished_bodies::*;

fn address(text: &str) -> Address {
    Address::from_ip(text.parse().unwrap())
}

#[test]
fn newcomers_displace_the_oldest_of_the_address_with_most() {
    let unfinished_bodies = Arc::new(UnfinishedBodies::new(3, 1, Counter::default()));
    let begin = |from: &str| unfinished_bodies.begin(BodyKind::Row, address(from));
    let (other, old, young) = (begin("10.0.0.2"), begin("10.0.0.1"), begin("10.0.0.1"));
    let newcomer = begin("10.0.0.2");
    assert!(old.notice().is_sent() && old.add(1).is_err() && old.complete().is_err());
    assert!([&other, &young, &newcomer].iter().all(|unfinished| !unfinished.notice().is_sent()));
    // a complete body is not closed, and not counted
    other.complete().unwrap();
    assert_eq!(unfinished_bodies.unfinished(), 2);
    drop((young, newcomer));
    assert_eq!(unfinished_bodies.unfinished(), 0);
}

#[test]
fn the_bytes_of_rows_are_bounded() {
    let unfinished_bodies = Arc::new(UnfinishedBodies::new(1000, 1, Counter::default()));
    let bodies: Vec<UnfinishedBody> =
        (0..200).map(|_| unfinished_bodies.begin(BodyKind::Row, address("10.0.0.1"))).collect();
    let refused = bodies.iter().filter(|body| body.add(256 << 10).is_err()).count();
    assert_eq!(refused, 0);
    let left = bodies.iter().filter(|body| !body.notice().is_sent()).count();
    assert_eq!(left as u64, ROW_MEMORY_BYTES / (256 << 10));
    assert!(bodies[0].notice().is_sent() && !bodies[199].notice().is_sent());
}

#[test]
fn a_table_gives_way_where_it_waits_or_its_address_has_more() {
    let unfinished_bodies = Arc::new(UnfinishedBodies::new(1000, 1, Counter::default()));
    let table = |from: &str| unfinished_bodies.begin(BodyKind::Stream, address(from));
    let (one, two, other) = (table("10.0.0.1"), table("10.0.0.1"), table("10.0.0.2"));
    // from an address with as many, no stream is closed that just made progress
    assert!(!unfinished_bodies.close_stream(address("10.0.0.1")));
    // a body that is processed would not stop
    one.wait(false);
    assert!(unfinished_bodies.close_stream(address("10.0.0.3")) && two.notice().is_sent());
    assert!(!unfinished_bodies.close_stream(address("10.0.0.3")));
    assert!(!one.notice().is_sent() && !other.notice().is_sent());
    // a stream that waits for a second is closed for anyone, and processing does not count
    std::thread::sleep(IDLE_BODY_TIMEOUT);
    one.wait(true);
    assert!(unfinished_bodies.close_stream(address("10.0.0.2")) && other.notice().is_sent());
    assert!(!unfinished_bodies.close_stream(address("10.0.0.2")) && !one.notice().is_sent());
}

#[test]
fn a_message_of_a_table_takes_the_memory_of_lists() {
    let unfinished_bodies = Arc::new(UnfinishedBodies::new(1000, 1, Counter::default()));
    let (table, list) = (
        unfinished_bodies.begin(BodyKind::Stream, address("10.0.0.1")),
        unfinished_bodies.begin(BodyKind::Batch, address("10.0.0.1")),
    );
    table.add(1 << 30).unwrap();
    table.hold(100 << 20).unwrap();
    assert!(list.add(60 << 20).is_err());
    table.release();
    let list = unfinished_bodies.begin(BodyKind::Batch, address("10.0.0.1"));
    list.add(60 << 20).unwrap();
    table.hold(60 << 20).unwrap();
    // another address with less memory closes it while its message still arrives
    let other = unfinished_bodies.begin(BodyKind::Batch, address("10.0.0.2"));
    other.add(20 << 20).unwrap();
    assert!(table.notice().is_sent() || list.notice().is_sent());
    drop((table, list, other));
    assert_eq!(unfinished_bodies.state().batch_bytes, 0);
}

#[test]
fn a_batch_displaces_those_of_an_address_that_holds_more() {
    let unfinished_bodies = Arc::new(UnfinishedBodies::new(1000, 1, Counter::default()));
    let batch = |from: &str| unfinished_bodies.begin(BodyKind::Batch, address(from));
    let (first, second) = (batch("10.0.0.1"), batch("10.0.0.1"));
    first.add(60 << 20).unwrap();
    second.add(60 << 20).unwrap();
    // its own address still sends: it is rejected, and uses nothing
    let third = batch("10.0.0.1");
    assert_eq!(third.add(20 << 20).unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
    let other = batch("10.0.0.2");
    other.add(20 << 20).unwrap();
    assert!(first.notice().is_sent() && !second.notice().is_sent());
    // a body that is processed stays
    second.complete().unwrap();
    other.complete().unwrap();
    assert!(batch("10.0.0.3").add(60 << 20).is_err());
    drop(second);
    batch("10.0.0.3").add(60 << 20).unwrap();
}
