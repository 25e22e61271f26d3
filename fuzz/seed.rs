//! Writes the inputs to start from into `corpus/<target>/`, made by our own writer.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (n, (target, bytes)) in snaprestore_fuzz::seeds().into_iter().enumerate() {
        let directory = corpus.join(target);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(format!("seed-{n:02}")), bytes)?;
    }
    Ok(())
}
