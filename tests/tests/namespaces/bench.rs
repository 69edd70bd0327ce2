//! The benchmark works: a quick run of it measures everything and writes all of it down. Not one time is judged here.

use std::{fs, process::Command};

use serde_json::Value;

#[test]
fn a_quick_benchmark_writes_every_figure_down() {
    let folder = tempfile::tempdir().unwrap();
    let (json, svg) = (folder.path().join("figures/bench.json"), folder.path().join("plots/bench.svg"));
    let ran = Command::new(env!("CARGO_BIN_EXE_bench"))
        .arg("--quick")
        .args(["--json".as_ref(), json.as_os_str(), "--svg".as_ref(), svg.as_os_str()])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{printed}\n{}", String::from_utf8_lossy(&ran.stderr));
    for who in ["reflector", "Beeline", "unbound behind DNAT", "CoreDNS behind DNAT", "Targets"] {
        assert!(printed.contains(who), "{who} is missing:\n{printed}");
    }

    let figures: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    for ratio in
        ["p50_over_reflector", "coredns_over_p50", "unbound_over_p50", "bytes_per_name", "not_dns_over_empty"]
    {
        assert!(figures["ratios"][ratio].as_f64().is_some_and(|ratio| ratio > 0.0), "{ratio}: {figures}");
    }
    for list in ["round_trips", "not_dns", "tables", "targets"] {
        assert!(figures[list].as_array().is_some_and(|list| !list.is_empty()), "{list}: {figures}");
    }
    assert!(figures["measured_on"]["kernel"].is_string(), "{figures}");

    let plot = fs::read_to_string(svg).unwrap();
    for label in ["CoreDNS", "unbound", "Beeline", "reflector", "10,000"] {
        assert!(plot.contains(label), "{label} is missing in the plot");
    }
}

#[test]
fn a_benchmark_that_is_asked_for_the_impossible_says_so() {
    let ran =
        Command::new(env!("CARGO_BIN_EXE_bench")).args(["--json", "/dev/null/bench.json"]).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot make /dev/null"), "{said}");
}
