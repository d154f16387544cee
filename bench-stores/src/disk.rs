//! What the disk itself takes, under all that waits for it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Instant;

use crate::figures::Figures;

/// Writes in one round.
const WRITES: usize = 50;

/// Microseconds to write 4 KiB to the end of a file in this folder and to sync it.
pub(crate) fn measure(folder: &Path, figures: &mut Figures) -> io::Result<()> {
    let mut file = File::create(folder.join("sync"))?;
    for _ in 0..WRITES {
        let began = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        figures.add(began.elapsed().as_secs_f64() * 1e6);
    }
    Ok(())
}
