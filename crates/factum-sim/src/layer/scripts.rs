//! Small scripts for the layers that try every call: a few words each.
//!
//! | word | what it does |
//! |---|---|
//! | `put S N B` | appends N events of B bytes to stream S and waits for the answer |
//! | `zero S B`, `forge S B` | the same with one event of zeros, or of bytes of the log itself |
//! | `next S B` | the same, expecting the right revision |
//! | `wrong S` | appends under an expectation that does not hold, without waiting |
//! | `only S T` | appends one event with tag T on condition that none has it, without waiting |
//! | `ask S N B` | appends without waiting |
//! | `pairs N B` | N times two frames at once, each in its own page: what is later packed |
//! | `multi B` | one batch over three streams |
//! | `delete S`, `close S`, `limit S` | delete, tombstone, settings |
//! | `snap S` | saves a snapshot |
//! | `again N` | asks for the Nth batch again, counted back from the last |
//! | `build`, `write N`, `done N`, `begin` | frames under way, by hand |
//! | `drain`, `mark`, `prepare`, `seal` | works everything off; checkpoint frame; one thing, or everything, in the background |
//! | `reopen`, `kill` | ends the process and opens again |
//!
//! Relies on: segments of 64 KiB, so that `put o 3 20000` nearly fills one. Never: reads.

/// What is done before power may fail, and what is done while it may.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// Done first, and closed cleanly.
    pub setup: &'static str,
    /// Done then, on the store opened again.
    pub body: &'static str,
}

const fn script(setup: &'static str, body: &'static str) -> Script {
    Script { setup, body }
}

/// The scripts.
pub const SCRIPTS: [Script; 64] = [
    script("", ""),
    script("", "put o 1 10"),
    script("", "put o 1 10; put o 1 10"),
    script("", "put o 1 3000; put p 1 5000"),
    script("", "put o 2 100; mark; put o 1 100"),
    script("", "zero o 6000"),
    script("", "put o 1 100; zero o 2048; put o 1 100"),
    script("put o 1 100", "zero o 1500; zero o 1500; zero p 9000"),
    script("", "multi 50; multi 900"),
    script("put o 1 100", "forge o 3000; forge o 900; put o 1 10"),
    script(
        "put o 1 100",
        "ask o 1 100; build; ask p 1 100; build; begin",
    ),
    script(
        "put o 1 100",
        "ask o 1 3000; build; ask p 1 3000; build; begin",
    ),
    script(
        "put o 1 100",
        "ask o 1 100; build; ask p 1 100; build; write 1; begin",
    ),
    script(
        "put o 1 100",
        "ask o 1 100; build; ask p 1 100; build; write 1; done 0; write 0; done 0",
    ),
    script(
        "put o 1 100",
        "ask o 1 2000; build; ask p 1 100; build; write 1; done 0; ask q 1 10; build; begin",
    ),
    script(
        "put o 1 100",
        "ask o 1 100; build; write 0; ask p 1 100; build; write 0; done 1; ask q 1 40; build; begin",
    ),
    script(
        "",
        "ask o 1 100; build; ask p 1 9000; build; write 0; begin",
    ),
    script(
        "put o 1 100; put o 1 50",
        "next o 10; wrong o; drain; next o 10",
    ),
    script("put o 1 100", "ask o 1 10; build; wrong o; build; begin"),
    script("put o 1 100", "only o t:1; build; only p t:1; build; begin"),
    script("put o 1 100", "only o t:1; only p t:1; drain; put o 1 10"),
    script("put o 3 20000", "put o 1 20000"),
    script("put o 3 18000", "put o 1 20000; seal"),
    script("put o 3 18000; put o 1 9000", "seal"),
    script("put o 2 18000", "prepare; put o 2 18000"),
    script("put o 2 18000", "prepare; put o 2 18000; seal; put o 1 10"),
    script(
        "put o 3 20000; put p 3 20000; put q 3 20000",
        "seal; put o 1 10",
    ),
    script(
        "put o 3 19000",
        "ask o 1 1000; build; ask p 1 15000; build; begin",
    ),
    script(
        "put o 3 19000",
        "ask o 1 1000; build; ask p 1 15000; build; write 1; begin",
    ),
    script(
        "put o 3 19000",
        "ask o 1 1000; build; ask p 1 15000; build; write 1; done 0; write 0; done 0; seal",
    ),
    script("put o 3 19000", "mark; put o 1 9000; mark; put p 1 1; seal"),
    script("put o 1 10", "delete o; put o 1 10; delete o"),
    script("put o 1 10; put p 1 10", "close o; limit p; put p 2 10"),
    script(
        "put o 1 10; close p",
        "put o 3 20000; put o 1 20000; seal; put q 1 1",
    ),
    script(
        "put o 1 10; delete o; limit p",
        "put q 3 20000; put q 1 20000; seal; put o 1 1",
    ),
    script("", "snap o; put o 1 10; snap o"),
    script(
        "snap o; snap o",
        "put q 3 20000; put q 1 20000; seal; snap o",
    ),
    script("put o 1 10", "put o 1 20; again; put o 1 30; again"),
    script("put o 1 10", "ask o 1 20; build; again; build; begin"),
    script("put o 1 10", "put o 1 20; kill; again; put o 1 30"),
    script(
        "put o 1 10",
        "ask o 1 700; build; begin; kill; put o 1 30; mark",
    ),
    script(
        "put o 1 10",
        "ask o 1 700; build; begin; kill; put p 1 4000; kill; put o 1 1",
    ),
    script("put o 1 10", "reopen; put o 1 10; reopen"),
    script(
        "put o 1 1000; put p 1 10; put q 1 5000",
        "kill; put p 1 10; kill; put o 2 10",
    ),
    script("put o 40 10", "put p 40 200; put q 1 1"),
    script(
        "put o 40 1200",
        "put p 10 1200; put q 1 1; seal; kill; put o 1 9",
    ),
    script(
        "",
        "ask o 1 500; build; ask p 1 500; build; write 0; ask q 1 500; done 0; build; write 1; begin",
    ),
    script(
        "put a 1 10; put o 3 19000",
        "prepare; kill; put o 1 9000; prepare; seal; put a 1 1",
    ),
    script(
        "put o 2 18000; put a 2 9000; put a 1 9000",
        "prepare; seal; reopen; put o 1 10",
    ),
    script("pairs 8 300; put o 1 10", "seal; put o 1 10"),
    script("put o 1 10", "put o 1 4000; put p 1 4100; put q 1 3900"),
    script(
        "put o 1 10",
        "ask o 1 2000; build; ask p 1 1900; build; begin",
    ),
    script(
        "put o 1 10",
        "ask o 1 1900; build; ask p 1 1900; build; write 1; begin; kill; put o 1 3500",
    ),
    script("", "put o 1 4000; zero o 3000; put o 1 2000; put o 1 4200"),
    script(
        "put o 3 18500; put p 1 1000",
        "put o 1 4000; put o 1 4000; seal",
    ),
    script(
        "put o 1 500",
        "next o 4000; next o 3800; mark; put o 1 3600; mark",
    ),
    script(
        "put o 1 4000; put o 1 100",
        "forge o 3500; multi 600; forge o 4000",
    ),
    script(
        "put o 1 10; snap o",
        "only o t:1; drain; put o 8 400; put p 8 450; delete o; put o 9 380",
    ),
    script(
        "pairs 6 300; snap o; delete o; pairs 3 100",
        "seal; kill; put o 1 10; seal",
    ),
    script(
        "pairs 7 3000; close p; limit o; put o 1 9000",
        "seal; pairs 1 10; begin",
    ),
    script(
        "pairs 5 200",
        "pairs 3 50; ask o 1 5000; build; ask p 1 5000; build; write 1; begin",
    ),
    script(
        "put o 1 20; put q 3 20000; put q 1 20000; put q 1 9",
        "seal; kill; again 3; drain; put p 1 1",
    ),
    script(
        "put o 1 20; put q 3 20000; put q 1 20000; seal",
        "reopen; next o 5; again 1; drain; wrong o",
    ),
    script(
        "",
        "put o 1 100; ask o 1 100; build; ask p 1 100; build; write 1; begin; kill; put q 1 50; put q 1 60",
    ),
];
