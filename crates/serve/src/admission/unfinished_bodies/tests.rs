//! Bodies give way to each other, and memory comes back.

use crate::admission::unfinished_bodies::*;

fn address(text: &str) -> Address {
    Address::of(text.parse().unwrap())
}

#[test]
fn newcomers_displace_the_oldest_of_the_address_with_most() {
    let arrivals = Arc::new(Arrivals::new(3, 1, Counter::default()));
    let begin = |from: &str| arrivals.begin(Kind::Row, address(from));
    let (other, old, young) = (begin("10.0.0.2"), begin("10.0.0.1"), begin("10.0.0.1"));
    let newcomer = begin("10.0.0.2");
    assert!(old.notice().is_given() && old.add(1).is_err() && old.complete().is_err());
    assert!([&other, &young, &newcomer].iter().all(|arrival| !arrival.notice().is_given()));
    // what has come whole gives way no more, and is not counted
    other.complete().unwrap();
    assert_eq!(arrivals.unfinished(), 2);
    drop((young, newcomer));
    assert_eq!(arrivals.unfinished(), 0);
}

#[test]
fn the_bytes_of_rows_are_bounded() {
    let arrivals = Arc::new(Arrivals::new(1000, 1, Counter::default()));
    let bodies: Vec<Arrival> = (0..200).map(|_| arrivals.begin(Kind::Row, address("10.0.0.1"))).collect();
    let refused = bodies.iter().filter(|body| body.add(256 << 10).is_err()).count();
    assert_eq!(refused, 0);
    let left = bodies.iter().filter(|body| !body.notice().is_given()).count();
    assert_eq!(left as u64, ROW_BYTES / (256 << 10));
    assert!(bodies[0].notice().is_given() && !bodies[199].notice().is_given());
}

#[test]
fn a_table_gives_way_where_it_waits_or_its_address_has_more() {
    let arrivals = Arc::new(Arrivals::new(1000, 1, Counter::default()));
    let table = |from: &str| arrivals.begin(Kind::Stream, address(from));
    let (one, two, other) = (table("10.0.0.1"), table("10.0.0.1"), table("10.0.0.2"));
    // from an address with as many nobody gives way who went on just now
    assert!(!arrivals.close_stream(address("10.0.0.1")));
    // what is worked on would not stop
    one.wait(false);
    assert!(arrivals.close_stream(address("10.0.0.3")) && two.notice().is_given());
    assert!(!arrivals.close_stream(address("10.0.0.3")));
    assert!(!one.notice().is_given() && !other.notice().is_given());
    // who waits for a second gives way to anybody, and work does not count
    std::thread::sleep(WAITING);
    one.wait(true);
    assert!(arrivals.close_stream(address("10.0.0.2")) && other.notice().is_given());
    assert!(!arrivals.close_stream(address("10.0.0.2")) && !one.notice().is_given());
}

#[test]
fn a_message_of_a_table_takes_the_memory_of_lists() {
    let arrivals = Arc::new(Arrivals::new(1000, 1, Counter::default()));
    let (table, list) =
        (arrivals.begin(Kind::Stream, address("10.0.0.1")), arrivals.begin(Kind::Batch, address("10.0.0.1")));
    table.add(1 << 30).unwrap();
    table.hold(100 << 20).unwrap();
    assert!(list.add(60 << 20).is_err());
    table.release();
    let list = arrivals.begin(Kind::Batch, address("10.0.0.1"));
    list.add(60 << 20).unwrap();
    table.hold(60 << 20).unwrap();
    // another address, with less, displaces it while its message still comes
    let other = arrivals.begin(Kind::Batch, address("10.0.0.2"));
    other.add(20 << 20).unwrap();
    assert!(table.notice().is_given() || list.notice().is_given());
    drop((table, list, other));
    assert_eq!(arrivals.state().batch_bytes, 0);
}

#[test]
fn a_batch_displaces_those_of_an_address_that_holds_more() {
    let arrivals = Arc::new(Arrivals::new(1000, 1, Counter::default()));
    let batch = |from: &str| arrivals.begin(Kind::Batch, address(from));
    let (first, second) = (batch("10.0.0.1"), batch("10.0.0.1"));
    first.add(60 << 20).unwrap();
    second.add(60 << 20).unwrap();
    // its own still come: it is refused, and holds nothing
    let third = batch("10.0.0.1");
    assert_eq!(third.add(20 << 20).unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
    let other = batch("10.0.0.2");
    other.add(20 << 20).unwrap();
    assert!(first.notice().is_given() && !second.notice().is_given());
    // what is worked on stays
    second.complete().unwrap();
    other.complete().unwrap();
    assert!(batch("10.0.0.3").add(60 << 20).is_err());
    drop(second);
    batch("10.0.0.3").add(60 << 20).unwrap();
}
