//! What a transfer does, on the memory store, under a clock that is moved by hand.

use std::sync::Arc;
use std::time::Duration;

use factum::framework::kit::{FakeWorld, given};
use factum::{EventStore, Idle, MemoryStore, Repository, Runner};
use factum_example_bank_account::{
    Account, AccountCommand as Do, AccountEvent as Did, GIVE_UP_AFTER, No, Step, TRY_AGAIN_AFTER,
    Transfer,
};
use pollster::block_on;

use crate::world::{Pile, all, cents, open, repository, request, runner};

struct Bank {
    store: Arc<dyn EventStore>,
    world: FakeWorld,
    bank: Repository,
    pile: Arc<Pile>,
    runner: Runner,
}

fn bank() -> Bank {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let world = FakeWorld::new(7);
    let bank = repository(&store, &world);
    let pile = Arc::new(Pile::default());
    let runner = runner(&bank, &pile);
    Bank {
        store,
        world,
        bank,
        pile,
        runner,
    }
}

impl Bank {
    fn idle(&mut self) -> Idle {
        block_on(self.runner.run_until_idle()).unwrap()
    }

    fn later(&mut self, by: Duration) -> Idle {
        self.world.clock.advance(by);
        self.idle()
    }

    fn transfer(&self, key: &str) -> (Step, bool, Vec<String>) {
        let transfer = block_on(self.bank.process::<Transfer>(key))
            .unwrap()
            .unwrap();
        (transfer.state.step, transfer.ended, transfer.timers)
    }

    fn types(&self, stream: &str) -> Vec<String> {
        let all = all(&*self.store).into_iter();
        let of_stream = all.filter(|event| event.stream.as_str() == stream);
        of_stream
            .map(|event| event.event_type.to_string())
            .collect()
    }
}

#[test]
fn accounts_keep_their_rules() {
    given::<Account>([])
        .when(Do::Deposit { cents: 1 })
        .rejects(&No::NotOpen);
    let opened = Did::Opened {
        owner: "ann".into(),
    };
    let transfer = String::from("t");
    given::<Account>([opened.clone(), Did::Deposited { cents: 5 }])
        .when(Do::Debit {
            transfer: transfer.clone(),
            cents: 6,
        })
        .rejects(&No::TooLittle(5));
    given::<Account>([opened, Did::Closed {}])
        .when(Do::Refund {
            transfer: transfer.clone(),
            cents: 5,
        })
        .then([Did::Refunded { transfer, cents: 5 }]);
}

#[test]
fn money_goes_from_one_account_to_another() {
    let mut it = bank();
    open(&it.bank, "account-a", 100);
    open(&it.bank, "account-b", 0);
    request(&it.bank, "t1", "account-a", "account-b", 60);
    let idle = it.idle();
    assert_eq!((idle.parked, idle.next_timer), (0, None));
    assert_eq!(
        (cents(&it.bank, "account-a"), cents(&it.bank, "account-b")),
        (40, 60)
    );
    assert_eq!(it.transfer("t1"), (Step::Over, true, vec![]));
    assert_eq!(
        it.types("transfer-t1"),
        [
            "factum.InputReceived",
            "TransferBegun",
            "factum.MessageSent",
            "factum.TimerSet",
            "factum.InputReceived",
            "TransferDebited",
            "factum.MessageSent",
            "factum.TimerCancelled",
            "factum.InputReceived",
            "TransferCompleted",
            "factum.ProcessEnded",
        ],
        "inputs and outputs both live in the stream of the process"
    );
    assert_eq!(it.idle().handled, 0);
}

#[test]
fn what_one_event_caused_is_found_by_its_conversation() {
    let mut it = bank();
    open(&it.bank, "account-a", 100);
    open(&it.bank, "account-b", 0);
    request(&it.bank, "t1", "account-a", "account-b", 60);
    it.idle();
    let all = all(&*it.store);
    let find = |name: &str| {
        all.iter()
            .find(|event| event.event_type.as_str() == name)
            .unwrap()
    };
    let conversation = &find("TransferRequested").metadata.correlation_id;
    for name in [
        "MoneyDebited",
        "TransferDebited",
        "MoneyCredited",
        "TransferCompleted",
    ] {
        assert_eq!(&find(name).metadata.correlation_id, conversation, "{name}");
    }
    let debit = find("factum.MessageSent");
    assert_eq!(
        find("MoneyDebited").metadata.causation_id,
        Some(debit.id.to_string())
    );
}

#[test]
fn money_that_is_not_taken_comes_back() {
    let mut it = bank();
    open(&it.bank, "account-a", 100);
    request(&it.bank, "t1", "account-a", "account-nobody", 60);
    it.idle();
    assert_eq!(cents(&it.bank, "account-a"), 100);
    assert_eq!(it.transfer("t1"), (Step::Over, true, vec![]));
    let types = it.types("account-a");
    assert_eq!(&types[types.len() - 2..], ["MoneyDebited", "MoneyRefunded"]);
}

#[test]
fn a_transfer_waits_for_money() {
    let mut it = bank();
    open(&it.bank, "account-a", 10);
    open(&it.bank, "account-b", 0);
    request(&it.bank, "t1", "account-a", "account-b", 60);
    let idle = it.idle();
    let now = it.world.world().now().as_micros();
    let in_micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap();
    assert_eq!(
        idle.next_timer.unwrap().as_micros(),
        now + in_micros(TRY_AGAIN_AFTER)
    );
    let waits = (
        Step::Waiting,
        false,
        vec!["give up".to_owned(), "try again".to_owned()],
    );
    assert_eq!(it.transfer("t1"), waits);
    let too_early = TRY_AGAIN_AFTER - Duration::from_micros(1);
    assert_eq!(it.later(too_early).handled, 0, "nothing is due");
    it.later(Duration::from_micros(1));
    assert_eq!(it.transfer("t1"), waits, "it tried in vain");
    block_on(async {
        it.bank
            .run::<Account>("account-a", Do::Deposit { cents: 50 })
            .await
    })
    .unwrap();
    it.later(TRY_AGAIN_AFTER);
    assert_eq!(
        (cents(&it.bank, "account-a"), cents(&it.bank, "account-b")),
        (0, 60)
    );
    assert_eq!(it.transfer("t1"), (Step::Over, true, vec![]));
    assert_eq!(
        it.later(GIVE_UP_AFTER * 2).handled,
        0,
        "its timers are gone"
    );
    assert!(it.pile.0.lock().unwrap().is_empty());
}

#[test]
fn a_transfer_gives_up_after_a_day_and_the_owner_is_told_once() {
    let mut it = bank();
    open(&it.bank, "account-a", 10);
    open(&it.bank, "account-b", 0);
    request(&it.bank, "t1", "account-a", "account-b", 60);
    it.idle();
    for _ in 0..26 {
        it.later(TRY_AGAIN_AFTER);
    }
    assert_eq!(it.transfer("t1"), (Step::Over, true, vec![]));
    let letters = it.pile.0.lock().unwrap().clone();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].1, "owner of account-a: transfer t1 was given up");
    assert_eq!(
        (cents(&it.bank, "account-a"), cents(&it.bank, "account-b")),
        (10, 0)
    );
}

#[test]
fn all_is_fired_in_order_of_time_when_nobody_ran_for_long() {
    let mut it = bank();
    open(&it.bank, "account-a", 10);
    for transfer in ["t1", "t2", "t3"] {
        request(&it.bank, transfer, "account-a", "account-b", 60);
        it.later(Duration::from_secs(60));
    }
    let before = all(&*it.store).len();
    it.later(TRY_AGAIN_AFTER);
    let fired: Vec<_> = all(&*it.store)
        .into_iter()
        .skip(before)
        .filter(|event| event.event_type.as_str() == "factum.TimerFired")
        .map(|event| event.stream.to_string())
        .collect();
    assert_eq!(fired, ["transfer-t1", "transfer-t2", "transfer-t3"]);
}

#[test]
fn a_second_request_under_the_same_name_is_none() {
    let mut it = bank();
    open(&it.bank, "account-a", 100);
    open(&it.bank, "account-b", 100);
    request(&it.bank, "t1", "account-a", "account-b", 60);
    request(&it.bank, "t1", "account-b", "account-a", 10);
    it.idle();
    assert_eq!(
        (cents(&it.bank, "account-a"), cents(&it.bank, "account-b")),
        (40, 160)
    );
}

#[test]
fn an_account_is_loaded_without_what_the_framework_noted() {
    let mut it = bank();
    open(&it.bank, "account-a", 100);
    request(&it.bank, "t1", "account-a", "account-b", 60);
    it.idle();
    let merged = block_on(it.bank.merged("transfer-t1", None)).unwrap();
    assert_eq!(merged.state["cents"], 60);
    assert!(merged.state.get("command").is_none(), "{}", merged.state);
    assert_eq!(merged.version, it.types("transfer-t1").len() as u64);
}
