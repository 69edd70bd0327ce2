//! What the verifier walks.

use aya::programs::SchedClassifier;
use beeline::dataplane::{OBJECT, load};
use beeline_tests::verifier::walked;

/// A quarter of what a verifier walks before it gives up.
const LIMIT: u64 = 250_000;

#[test]
fn verifier_walks_each_program_within_the_limit() {
    let ebpf = load(OBJECT, false).unwrap();
    let walked = walked(OBJECT, &ebpf).unwrap();
    for (program, count) in &walked {
        println!("verifier: {program} walked {count} instructions");
    }
    assert!(walked.contains_key("beeline") && walked.contains_key("heartbeat"), "{walked:?}");
    for (program, count) in walked {
        assert!(count > 0 && count <= LIMIT, "{program} walked {count} instructions, at most {LIMIT} may be");
        let loaded: &SchedClassifier = ebpf.program(&program).unwrap().try_into().unwrap();
        // Kernels before 5.16 do not say.
        if let Some(said) = loaded.info().unwrap().verified_instruction_count() {
            assert_eq!(u64::from(said), count, "{program}: the kernel says otherwise");
        }
    }
}

#[test]
fn messages_are_taken_by_the_verifier_too_and_cost_nothing_when_off() {
    let [silent, speaking] =
        [false, true].map(|debug| walked(OBJECT, &load(OBJECT, debug).unwrap()).unwrap()["beeline"]);
    assert!(
        speaking <= LIMIT,
        "with messages beeline walked {speaking} instructions, at most {LIMIT} may be"
    );
    assert!(silent < speaking, "{silent} instructions walked with the messages off, {speaking} with them on");
}
