//! What is to be done when a thread ends by panic, so that no other waits for it.

/// Acts when it is dropped by a panic.
pub struct OnPanic<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}
