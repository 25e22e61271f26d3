//! Writes the inputs to start from into `corpus/<target>/`, made by our own writer or taken from
//! the samples.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let seeds = snaprestore_fuzz::seeds().into_iter().chain(snaprestore_fuzz::ebs::seeds());
    let seeds = seeds.chain(snaprestore_fuzz::stacks::seeds());
    for (n, (target, bytes)) in seeds.enumerate() {
        let directory = corpus.join(target);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(format!("seed-{n:02}")), bytes)?;
    }
    Ok(())
}
