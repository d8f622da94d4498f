//! The steps of a transfer, one by one, without a store.

use std::time::Duration;

use factum::framework::kit::{self, NOW};
use factum::{Emit, Event, Rejected, Route, Timestamp};
use factum_example_bank_account::{
    Account, AccountCommand as Do, AccountEvent as Did, GIVE_UP, GIVE_UP_AFTER, TRY_AGAIN,
    TRY_AGAIN_AFTER, Transfer, TransferEvent as Noted,
};

fn after(duration: Duration) -> Timestamp {
    let micros = i64::try_from(duration.as_micros()).unwrap();
    Timestamp::from_micros(NOW.as_micros() + micros)
}

fn transfer() -> String {
    "t1".into()
}

fn requested() -> Did {
    Did::TransferRequested {
        transfer: transfer(),
        from: "account-a".into(),
        to: "account-b".into(),
        cents: 60,
    }
}

fn begun() -> Noted {
    Noted::Begun {
        transfer: transfer(),
        from: "account-a".into(),
        to: "account-b".into(),
        cents: 60,
    }
}

fn debit() -> Do {
    Do::Debit {
        transfer: transfer(),
        cents: 60,
    }
}

fn given_up() -> Noted {
    Noted::GivenUp {
        transfer: transfer(),
        from: "account-a".into(),
    }
}

fn credit() -> Do {
    Do::Credit {
        transfer: transfer(),
        cents: 60,
    }
}

fn refused(stream: &str, command: &Do) -> Rejected {
    Rejected::new::<Account>(stream, command, "no")
}

#[test]
fn a_request_begins_it_and_debits() {
    let first = Emit::from(begun())
        .send::<Account>("account-a", &debit())
        .wake(GIVE_UP, after(GIVE_UP_AFTER));
    kit::process::<Transfer>([])
        .when(requested())
        .routed(&Route::Start(transfer()))
        .then(first);
    kit::process::<Transfer>([begun()])
        .when(requested())
        .then(Emit::none());
    kit::process::<Transfer>([begun()])
        .ended()
        .when(requested())
        .is_ignored();
}

#[test]
fn what_was_debited_is_credited_and_then_it_is_over() {
    let (transfer, cents) = (transfer(), 60);
    let debited = Did::Debited { transfer, cents };
    kit::process::<Transfer>([begun()])
        .when(debited.clone())
        .routed(&Route::Continue("t1".into()))
        .then(
            Emit::from(Noted::Debited {})
                .send::<Account>("account-b", &credit())
                .cancel(GIVE_UP),
        );
    kit::process::<Transfer>([]).when(debited).is_ignored();
    let transfer = "t1".into();
    kit::process::<Transfer>([begun(), Noted::Debited {}])
        .when(Did::Credited { transfer, cents })
        .routed(&Route::End("t1".into()))
        .then(Emit::from(Noted::Completed {}).end());
    kit::process::<Transfer>([begun()])
        .when(Did::Deposited { cents })
        .routed(&Route::Ignore)
        .is_ignored();
}

#[test]
fn a_refused_debit_is_tried_again_until_there_is_no_time() {
    kit::process::<Transfer>([begun()])
        .when_rejected(refused("account-a", &debit()))
        .then(Emit::from(Noted::PutOff {}).wake(TRY_AGAIN, after(TRY_AGAIN_AFTER)));
    kit::process::<Transfer>([begun(), Noted::PutOff {}])
        .when_timer(TRY_AGAIN)
        .then(Emit::from(Noted::TriedAgain {}).send::<Account>("account-a", &debit()));
    kit::process::<Transfer>([begun(), Noted::PutOff {}])
        .when_timer(GIVE_UP)
        .then(Emit::from(given_up()).end());
    // While an answer is under way, that decides.
    kit::process::<Transfer>([begun()])
        .when_timer(GIVE_UP)
        .then(Noted::RanOutOfTime {}.into());
    kit::process::<Transfer>([begun(), Noted::RanOutOfTime {}])
        .when_rejected(refused("account-a", &debit()))
        .then(Emit::from(given_up()).end());
}

#[test]
fn a_refused_credit_is_given_back() {
    let refund = Do::Refund {
        transfer: transfer(),
        cents: 60,
    };
    let reason = "no".into();
    kit::process::<Transfer>([begun(), Noted::Debited {}])
        .when_rejected(refused("account-b", &credit()))
        .then(Emit::from(Noted::Refused { reason }).send::<Account>("account-a", &refund));
}

#[test]
fn golden_samples_of_all_events_are_read() {
    kit::check::<Account>();
    let golden = Noted::GOLDEN.unwrap();
    kit::check_golden::<Noted>(golden, Noted::LOCK.unwrap()).unwrap();
    let golden = Did::GOLDEN.unwrap();
    kit::check_golden::<Did>(golden, Did::LOCK.unwrap()).unwrap();
}
