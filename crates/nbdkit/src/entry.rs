//! What nbdkit calls when it loads the plugin.

use crate::export::Export;

nbdkit::plugin!(Export {
    after_fork,
    can_extents,
    can_multi_conn,
    config,
    config_complete,
    config_help,
    extents,
    get_ready,
    thread_model
});
