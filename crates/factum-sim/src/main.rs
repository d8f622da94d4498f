//! The simulator on the command line. Relies on: the layers. Never: leaves anything behind but what it prints.

use factum_sim::layer::{self, LAYERS, Layer};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let opt = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).cloned();
    let layers: Vec<Layer> = match opt("--layer") { Some(l) => Layer::named(&l).into_iter().collect(), None => LAYERS.to_vec() };
    let start: u64 = opt("--start").and_then(|s| s.parse().ok()).unwrap_or(0);
    match args.get(1).map(String::as_str) {
        Some("replay") => {
            let seed: u64 = opt("--seed").and_then(|s| s.parse().ok()).unwrap_or(0);
            for l in layers { println!("{l}: {:?}", layer::run_case(l, seed)); }
        }
        _ => {
            for l in layers {
                let n = opt("--seeds").and_then(|s| s.parse().ok()).unwrap_or(l.ci_cases());
                let t = std::time::Instant::now();
                let s = layer::campaign(l, start..start + n, false);
                println!("{l}: {} cases, {} states, {} failed, {:?}", s.cases, s.states, s.failed, t.elapsed());
                for f in &s.failures { println!("  {f}"); }
            }
        }
    }
}
