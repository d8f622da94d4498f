//! The disk: may we write there, what is it, and how fast does it make bytes durable?

use std::io;
use std::path::Path;

use factum_io::{AlignedBuf, DiskFile, DiskFileExt, Env, Open};

use super::Check;
use crate::ui::progress::bytes;

const PROBES: usize = 64;
const PROBE_BYTES: usize = 4_096;
/// Under this there is not room for a few segments.
const FREE_BYTES_MIN: u64 = 1 << 30;
const SLOW_NS: u64 = 20_000_000;
/// No device with a volatile cache answers this fast; it is likely that nothing is made durable.
const SUSPICIOUS_NS: u64 = 5_000;

/// Whether the data directory is there.
pub(super) fn directory(data: &Path, place: &Path) -> Check {
    if data.is_dir() {
        return Check::ok("directory", format!("{} is there", data.display()));
    }
    if data.exists() {
        return Check::fail(
            "directory",
            format!("{} is not a directory", data.display()),
            "name a directory by --data",
        );
    }
    let found = format!(
        "{} is not there yet; looking at {}",
        data.display(),
        place.display()
    );
    Check::warn(
        "directory",
        found,
        "`factum append` or `factum import` make it",
    )
}

/// Everything about the disk under `place`.
pub(super) fn checks(place: &Path, env: &Env) -> Vec<Check> {
    let mut checks = vec![file_system(place), free_space(place, env)];
    let name = format!(".factum-doctor-{:016x}", env.random.next_u64());
    let path = place.join(name);
    match env.disk.open(&path, Open::create_new_direct()) {
        Ok(file) => {
            checks.push(Check::ok("permission", format!("{} can be written", place.display())));
            checks.push(direct(&*file));
            checks.push(sync_latency(&*file, env));
            drop(file);
            if let Err(error) = env.disk.remove(&path) {
                checks.push(Check::warn("probe", error.to_string(), "remove the file by hand"));
            }
        }
        Err(error) => checks.push(Check::fail(
            "permission",
            error.to_string(),
            "give the user that runs factum the right to write there (chown, chmod), or use another --data",
        )),
    }
    checks
}

fn file_system(place: &Path) -> Check {
    let name = "file system";
    let status = match rustix::fs::statfs(place) {
        Ok(status) => status,
        Err(error) => return Check::warn(name, io::Error::from(error).to_string(), "see `df -T`"),
    };
    #[expect(
        clippy::allow_attributes,
        reason = "the width of f_type depends on the target"
    )]
    #[allow(
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        clippy::cast_possible_truncation,
        reason = "a magic number of 32 bits"
    )]
    let magic = status.f_type as u32;
    match magic {
        0xEF53 => Check::ok(name, "ext4"),
        0x5846_5342 => Check::ok(name, "xfs"),
        0x9123_683E => Check::warn(
            name,
            "btrfs",
            "copy on write makes every commit allocate: `chattr +C` on an empty data directory",
        ),
        0x2FC1_2FC1 => Check::ok(name, "zfs"),
        0xF2F5_2010 => Check::ok(name, "f2fs"),
        0x0102_1994 => Check::warn(
            name,
            "tmpfs, which forgets everything when the machine stops",
            "use a directory on a disk for anything to keep",
        ),
        0x794C_7630 => Check::warn(
            name,
            "overlayfs, the writable layer of a container",
            "mount a volume: the layer goes away with the container",
        ),
        0x6969 | 0xFF53_4D42 | 0xFE53_4D42 | 0x517B => Check::fail(
            name,
            "a network file system",
            "use a local disk: locks and syncs cannot be trusted over the network",
        ),
        0x6573_5546 => Check::warn(
            name,
            "fuse",
            "make sure that its fsync is honest, or use a local disk",
        ),
        other => Check::warn(
            name,
            format!("unknown ({other:#x})"),
            "ext4 and xfs are tried",
        ),
    }
}

fn free_space(place: &Path, env: &Env) -> Check {
    let name = "free space";
    match env.disk.free_bytes(place) {
        Ok(free) if free >= FREE_BYTES_MIN => Check::ok(name, bytes(free)),
        Ok(free) => Check::warn(
            name,
            bytes(free),
            "free at least 1 GiB: segments are written ahead",
        ),
        Err(error) => Check::warn(name, error.to_string(), "see `df`"),
    }
}

fn direct(file: &dyn DiskFile) -> Check {
    if file.is_direct() {
        return Check::ok("direct I/O", "O_DIRECT works");
    }
    Check::warn(
        "direct I/O",
        "O_DIRECT is refused here, writes go through the page cache",
        "everything works, long imports are slower; ext4 and xfs have it",
    )
}

/// Overwrites one page durably, many times, as the commit path does.
fn sync_latency(file: &dyn DiskFile, env: &Env) -> Check {
    let name = "sync latency";
    let fix = "use a disk that answers; the store will refuse to write on this one";
    let buffer = AlignedBuf::zeroed(PROBE_BYTES);
    let page = buffer.as_slice();
    let prepared = file.write_all_at(page, 0).and_then(|()| file.sync());
    if let Err(error) = prepared {
        return Check::fail(name, error.to_string(), fix);
    }
    let mut times = Vec::with_capacity(PROBES);
    for _ in 0..PROBES {
        let start = env.clock.monotonic_ns();
        if let Err(error) = file.write_durable_at(page, 0) {
            return Check::fail(name, error.to_string(), fix);
        }
        times.push(env.clock.monotonic_ns().saturating_sub(start));
    }
    times.sort_unstable();
    let median = times.get(PROBES / 2).copied().unwrap_or_default();
    let worst = times.last().copied().unwrap_or_default();
    let found = format!(
        "a durable 4 KiB write takes {} (median of {PROBES}; worst {})",
        micros(median),
        micros(worst)
    );
    if median > SLOW_NS {
        return Check::warn(
            name,
            found,
            "appends wait for this; a disk with power-loss protection is faster",
        );
    }
    if median < SUSPICIOUS_NS {
        return Check::warn(
            name,
            format!("{found}, which is too fast to be true"),
            "find out whether the disk or the hypervisor ignores flushes: power loss may lose events",
        );
    }
    Check::ok(name, found)
}

fn micros(ns: u64) -> String {
    if ns < 1_000_000 {
        format!("{} µs", ns / 1_000)
    } else {
        format!("{} ms", ns / 1_000_000)
    }
}
