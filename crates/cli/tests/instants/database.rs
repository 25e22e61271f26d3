//! A database that commits rows while the instant is taken.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::attached::Attached;
use super::live::Live;
use crate::support::{Outcome, ensure, scratch, tool};

const SIZE: u64 = 640 << 20;
/// How long a server may take to start or to end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Commits before the instant, at least.
const ENOUGH: u64 = 200;

pub(crate) fn commits() -> Outcome {
    let live = Live::new(SIZE)?;
    let data = live.dir().join("data");
    install(&data)?;
    let server = Server::start(&data, live.scratch().path("live.sock"))?;
    server.query("CREATE DATABASE d; CREATE TABLE d.t (n BIGINT PRIMARY KEY, filler CHAR(200)) ENGINE=InnoDB")?;
    let rows = Rows::insert(&server)?;
    rows.wait_for(ENOUGH)?;
    // Every row that the server has answered for before the instant is in it.
    let before = rows.committed();
    let instant = live.instant()?;
    let after = rows.committed();
    rows.wait_for(after + 10)?;
    drop(rows);
    server.kill()?;
    let captured = live.capture(&instant)?;

    let mnt = live.scratch().path("mnt");
    scratch::make_dir(&mnt)?;
    let overlay = live.scratch().path("overlay");
    let args = ["--overlay".as_ref(), overlay.as_os_str(), "--mount".as_ref(), mnt.as_os_str()];
    let (attached, _) = Attached::new("instant-db", &captured.sets, args)?;
    let server = Server::start(&mnt.join("data"), live.scratch().path("again.sock"))?;
    let found = server.query("SELECT COUNT(*), MIN(n), MAX(n) FROM d.t")?;
    let numbers: Vec<u64> = found.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [count, first, last] = numbers[..] else { return Err(found.into()) };
    ensure!(first == 1 && count == last, "rows are missing: {count} from {first} to {last}");
    ensure!(count >= before, "{before} rows were committed before the instant, {count} are there");
    server.query("INSERT INTO d.t VALUES (0, 'after'); CHECK TABLE d.t EXTENDED")?;
    server.shut_down()?;
    tool::run("umount", [&mnt])?;
    tool::run("e2fsck", [Path::new("-fn"), attached.device()])?;
    attached.detach()?;
    captured.is_untouched()
}

fn install(data: &Path) -> Outcome {
    let data = format!("--datadir={}", data.display());
    let args = [
        "--no-defaults",
        &data,
        "--auth-root-authentication-method=normal",
        "--user=root",
        "--skip-test-db",
        "--skip-name-resolve",
        "--innodb-log-file-size=16M",
    ];
    tool::run("mariadb-install-db", args).map(drop)
}

/// A server for one data directory, reached by a socket only.
struct Server {
    child: Child,
    socket: PathBuf,
}

impl Server {
    fn start(data: &Path, socket: PathBuf) -> Outcome<Self> {
        let program = tool::find("mariadbd").ok_or("no mariadbd")?;
        let log = socket.with_extension("log");
        let child = Command::new(program)
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", socket.display()))
            .arg(format!("--pid-file={}", socket.with_extension("pid").display()))
            .args(["--skip-networking", "--user=root", "--skip-grant-tables"])
            .args(["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M"])
            .args(["--innodb-flush-log-at-trx-commit=1", "--innodb-flush-method=fsync"])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .spawn()?;
        let mut server = Self { child, socket };
        let started = Instant::now();
        while server.query("SELECT 1").is_err() {
            let ended = server.child.try_wait()?;
            if ended.is_some() || started.elapsed() > PATIENCE {
                return Err(String::from_utf8_lossy(&scratch::read(&log)?).into_owned().into());
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(server)
    }

    fn client(&self) -> Outcome<Command> {
        let mut client = Command::new(tool::find("mariadb").ok_or("no mariadb")?);
        client.args(["--no-defaults", "--batch", "--skip-column-names", "--unbuffered"]);
        client.arg(format!("--socket={}", self.socket.display()));
        Ok(client)
    }

    /// What the server answers.
    fn query(&self, sql: &str) -> Outcome<String> {
        let output = self.client()?.args(["--execute", sql]).output()?;
        if output.status.success() {
            Ok(String::from_utf8(output.stdout)?)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
        }
    }

    /// As a power cut ends it.
    fn kill(mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn shut_down(mut self) -> Outcome {
        self.query("SHUTDOWN")?;
        let started = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(started.elapsed() < PATIENCE, "the server does not end");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Rows 1, 2, 3, … each a transaction of its own, until dropped.
struct Rows {
    committed: Arc<AtomicU64>,
    client: Child,
    writer: Option<JoinHandle<()>>,
    reader: Option<JoinHandle<()>>,
}

impl Rows {
    fn insert(server: &Server) -> Outcome<Self> {
        let mut client = server.client()?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = client.stdin.take().ok_or("no stdin")?;
        let stdout = client.stdout.take().ok_or("no stdout")?;
        let committed = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&committed);
        let writer = thread::spawn(move || write_rows(stdin));
        let reader = thread::spawn(move || {
            // The client prints a row's number when the server has answered that it is committed.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(number) = line.trim().parse() {
                    seen.store(number, Ordering::SeqCst);
                }
            }
        });
        Ok(Self { committed, client, writer: Some(writer), reader: Some(reader) })
    }

    fn committed(&self) -> u64 {
        self.committed.load(Ordering::SeqCst)
    }

    fn wait_for(&self, rows: u64) -> Outcome {
        let started = Instant::now();
        while self.committed() < rows {
            ensure!(started.elapsed() < PATIENCE, "only {} rows committed", self.committed());
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Ends when the client does.
fn write_rows(mut client: ChildStdin) {
    for n in 1_u64.. {
        let sql = format!("INSERT INTO d.t VALUES ({n}, REPEAT('x', 200)); SELECT {n};\n");
        if client.write_all(sql.as_bytes()).and_then(|()| client.flush()).is_err() {
            return;
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        drop(self.client.kill());
        drop(self.client.wait());
        for thread in [self.writer.take(), self.reader.take()].into_iter().flatten() {
            drop(thread.join());
        }
    }
}
