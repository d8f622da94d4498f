//! Power cuts during the recovery from power cuts, up to three deep; and during sealing, preparing and switching the manifest.
//!
//! Relies on: the scripts. Never: skips the last recovery, which must succeed.

use factum_io::sim::{SectorSize, SimDisk};

use super::actor::Actor;
use super::crash;
use super::exhaustive::setup;
use super::scripts::SCRIPTS;
use crate::oracle::{self, Depth};
use crate::session::{Session, Settings};
use crate::violation::Checked;

/// How many chains one case has.
const CHAINS: u64 = 4;

/// Runs chains of crashes.
///
/// # Errors
/// The broken promise.
pub fn case(seed: u64) -> Checked<u64> {
    for chain in 0..CHAINS {
        let mut random = fastrand::Rng::with_seed(seed * CHAINS + chain);
        one(&mut random).map_err(|v| v.at(format_args!("chain {chain}")))?;
    }
    Ok(CHAINS)
}

fn one(random: &mut fastrand::Rng) -> Checked {
    let script = SCRIPTS[random.usize(0..SCRIPTS.len())];
    let settings = Settings::default();
    let mut actor = Actor::new(settings);
    let mut disk = setup(&mut actor, script.setup, &settings)?;
    if random.u8(0..4) == 0 {
        disk.set_sector_size(SectorSize::Bytes4096);
    }
    disk.power_off_at(random.u64(1..40));
    if let Ok(mut session) = Session::open(disk.clone(), random.u64(..), &settings) {
        actor.perform(&mut session, script.body)?;
        disk = session.world.disk.clone();
    }
    disk = disk.crash(crash::policy(random));
    for _ in 0..random.u8(1..4) {
        disk = interrupted(&disk, random, &settings);
    }
    oracle::check(
        &disk,
        &mut actor.history,
        Depth::GoesOn,
        random.u64(..),
        &settings,
    )
}

/// What a recovery leaves that is interrupted itself, or soon after.
fn interrupted(disk: &SimDisk, random: &mut fastrand::Rng, settings: &Settings) -> SimDisk {
    let world = disk.fork();
    world.power_off_at(random.u64(1..16));
    if let Ok(session) = Session::open(world.clone(), random.u64(..), settings) {
        while session.maintain().is_ok_and(|more| more) {}
        return session.world.disk.crash(crash::policy(random));
    }
    world.crash(crash::policy(random))
}
