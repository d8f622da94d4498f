//! Shows what is stored.

use std::error::Error;

use factum::store::ReadRequest;
use factum::{Engine, EventStore, Options};

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::open(Options::new("orders-data"), factum::io::Env::real())?;
    let all = pollster::block_on(engine.read(ReadRequest::all()).collect())?;
    for event in all {
        let data = String::from_utf8_lossy(&event.data);
        println!("{} v{} {data}", event.event_type, event.schema_version);
        for tag in &event.tags {
            println!("    {tag}");
        }
    }
    engine.close()?;
    Ok(())
}
