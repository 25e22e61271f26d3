//! SIGINT and SIGTERM: heard while something listens, and the end of the program while nothing does.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::Exit;

/// What has come, for the whole program: a signal that comes at the end of one piece of work is heard by
/// the next.
static SIGNALS: OnceLock<Signals> = OnceLock::new();

struct Signals {
    /// The number of the last one; 0 for none.
    last: Arc<AtomicUsize>,
    listeners: AtomicUsize,
    unheard: Arc<AtomicBool>,
}

impl Signals {
    fn register() -> Self {
        let (last, unheard) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        for number in [SIGINT, SIGTERM] {
            let value = usize::try_from(number).unwrap_or(usize::MAX);
            // Without these the signal ends the process at once, which is no worse than SIGKILL.
            let _ = flag::register_conditional_default(number, Arc::clone(&unheard));
            let _ = flag::register_usize(number, Arc::clone(&last), value);
        }
        Self { last, listeners: AtomicUsize::new(0), unheard }
    }
}

/// Listens from when it is made to when it is dropped.
pub(crate) struct Listener(&'static Signals);

impl Listener {
    pub(crate) fn start() -> Self {
        let signals = SIGNALS.get_or_init(Signals::register);
        signals.listeners.fetch_add(1, Ordering::SeqCst);
        signals.unheard.store(false, Ordering::SeqCst);
        Self(signals)
    }

    /// Whether one has come.
    pub(crate) fn is_set(&self) -> bool {
        self.0.last.load(Ordering::SeqCst) != 0
    }

    /// How a run that one has stopped ends; `None` while none has come.
    pub(crate) fn exit(&self) -> Option<Exit> {
        let exit = if self.is_term() { Exit::Terminated } else { Exit::Interrupted };
        self.is_set().then_some(exit)
    }

    /// Whether one came since the last time.
    pub(crate) fn take(&self) -> bool {
        self.0.last.swap(0, Ordering::SeqCst) != 0
    }

    /// Whether the last one was SIGTERM.
    pub(crate) fn is_term(&self) -> bool {
        usize::try_from(SIGTERM).is_ok_and(|number| self.0.last.load(Ordering::SeqCst) == number)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.0.listeners.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.unheard.store(true, Ordering::SeqCst);
        }
    }
}
