//! Builds the peers and clients that the tests and the demo use, where they are missing or older than their sources.

fn main() -> anyhow::Result<()> {
    for binary in beeline_tests::peers::build_all()? {
        println!("{}", binary.display());
    }
    Ok(())
}
