//! What the tables take from the command line.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::rounds::{self, Contender};
use crate::{SEED, STRIPE, VOLUME, data};

/// What to measure on, and how.
#[derive(Debug, Args)]
pub struct Input {
    /// A raw image to work on instead of generated data.
    image: Option<PathBuf>,
    /// How much data to generate otherwise, in MiB.
    #[arg(long, default_value_t = VOLUME >> 20)]
    mib: usize,
    /// Where to put the files: the disk that is measured.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    pub dir: PathBuf,
    /// How often each thing is measured.
    #[arg(long, default_value_t = 9)]
    pub rounds: usize,
    /// How many seconds to spend on repeating what other processes disturbed.
    #[arg(long, default_value_t = 60)]
    patience: u64,
}

impl Input {
    /// Measures everything, and says when the result is not to be trusted.
    pub fn measure(&self, contenders: &mut [Contender<'_>]) {
        let disturbed = rounds::run(contenders, self.rounds, Duration::from_secs(self.patience));
        if disturbed > 0 {
            let all = contenders.len() * self.rounds;
            eprintln!("{disturbed} of {all} samples were disturbed by other processes");
        }
    }

    /// The volume's content, whole rows of four stripes.
    pub fn image(&self) -> Vec<u8> {
        let mut image = match &self.image {
            Some(path) => fs::read(path).expect("the image can be read"),
            None => data::image(self.mib << 20, SEED),
        };
        let row = STRIPE as usize * 4;
        image.truncate(image.len() / row * row);
        image
    }
}
