//! The real log: run where it is, beside the project or where FACTUM_REAL_EVENTS says.

use std::collections::BTreeMap;

use std::future::IntoFuture;

use factum::{RecordedEvent, Repository, StreamName};
use loan_applications::log::real;
use loan_applications::report::{Outcomes, agreement};
use loan_applications::{CATEGORY, LoanApplication, Status};

use crate::logs::{all, check_bytes, check_cuts, stored};

/// The cuts of every so many streams are tried, and those of the longest.
const EVERY: usize = 40;

/// One pass over all of it: what is in it, what it says, and how far the rules explain it. The figures are in the documentation of
/// `application`.
#[test]
fn the_real_log_is_read_folded_and_decided_again() {
    let Some(path) = real() else {
        eprintln!("the file of real events is not here: they were not tried");
        return;
    };
    let (store, count) = stored(&std::fs::read(path).unwrap());
    assert_eq!(count, 262_200);
    let events = all(&*store);
    check_bytes(&events);
    check_some_cuts(events);

    let found = pollster::block_on(agreement(&*store, CATEGORY)).unwrap();
    let refused = found.refused.iter().map(|((event, why), refused)| {
        let streams = refused.streams.len();
        format!("{event} {why:?} {} {streams}", refused.events)
    });
    let expected = [
        "W_Afhandelen leads NotUnderWay(LeadHandling) 1 1",
        "W_Completeren aanvraag NotNow(PartlySubmitted) 2 2",
        "W_Completeren aanvraag NotNow(Cancelled) 1 1",
        "W_Completeren aanvraag NotUnderWay(Completion) 455 455",
        "W_Nabellen incomplete dossiers NotUnderWay(DocumentChase) 7 7",
        "W_Nabellen offertes NotNow(Cancelled) 22 2",
        "W_Nabellen offertes NotUnderWay(OfferFollowUp) 571 571",
        "W_Valideren aanvraag NotUnderWay(Validation) 6 6",
    ];
    assert_eq!(refused.collect::<Vec<_>>(), expected);
    let counts = (found.events, found.streams, found.different);
    assert_eq!(counts, (262_200, 13_087, 0));
    assert_eq!((found.agreed, found.streams_agreed()), (261_135, 12_048));

    let factum = Repository::new(store);
    let loaded = pollster::block_on(factum.load_all::<LoanApplication>(CATEGORY).into_future());
    let outcomes = Outcomes::of(&loaded.unwrap());
    assert_eq!(outcomes.events, 262_200);
    for (status, expected) in [
        (Status::Granted, 2_246),
        (Status::Declined, 7_635),
        (Status::Cancelled, 2_807),
    ] {
        assert_eq!(
            outcomes.by_status.get(&status),
            Some(&expected),
            "{status:?}"
        );
    }
    assert_eq!(outcomes.by_status.values().sum::<usize>(), 13_087);
}

fn check_some_cuts(events: Vec<RecordedEvent>) {
    let mut streams = BTreeMap::<StreamName, Vec<RecordedEvent>>::new();
    for event in events {
        streams.entry(event.stream.clone()).or_default().push(event);
    }
    let longest = streams.values().max_by_key(|events| events.len()).cloned();
    let some = streams.into_values().step_by(EVERY);
    some.chain(longest).for_each(|events| check_cuts(&events));
}
