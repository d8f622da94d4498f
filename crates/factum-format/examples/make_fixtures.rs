//! Writes the fixture files of format version 1.
//!
//! They exist; this shows how they came about. Running it again must change nothing. `index.idx` and `index-dense.idx` have sections that are not
//! written any more, and stay as they are.
//!
//! ```text
//! cargo run -p factum-format --example make_fixtures
//! ```

#[path = "../tests/it/fixture.rs"]
mod fixture;

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("segment.seg"), fixture::segment()?.0)?;
    fs::write(folder.join("manifest.bin"), fixture::manifest().encode()?)?;
    fs::write(folder.join("index-sloped.idx"), fixture::index()?)?;
    Ok(())
}
