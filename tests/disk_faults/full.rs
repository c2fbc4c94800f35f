//! Disks that are really full, files that may not grow, folders that can't be
//! written: in a mount namespace of our own.

use crate::bench::{Bench, SECRET, assert_clean, assert_told, limited, tracer, wait_for};
use crate::support::{Place, assert_exit, harvest, told};
use crate::tools::tool;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A file system of our own, for as long as this value lives.
struct Mount {
    shell: std::process::Child,
    /// Its place, also seen from outside the namespace.
    seen: PathBuf,
    inside: PathBuf,
}

impl Mount {
    /// A tmpfs over the folder `disk` beside the job; `None` where that is not allowed.
    fn new(bench: &Bench, options: &str) -> Option<Mount> {
        if !tool("unshare", "util-linux") || !tool("nsenter", "util-linux") {
            return None;
        }
        let inside = bench.file("/").join("disk");
        fs::create_dir(&inside).unwrap();
        let mut shell = Command::new("unshare")
            .args(["-r", "-m", "sh", "-c"])
            .arg(format!(
                "mount -t tmpfs -o {options} none \"$1\" && touch \"$1.ready\" && cat"
            ))
            .arg("sh")
            .arg(&inside)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let ready = inside.with_extension("ready");
        while !ready.exists() {
            if shell.try_wait().unwrap().is_some() {
                assert!(
                    std::env::var_os("CI").is_none(),
                    "CI must allow user and mount namespaces"
                );
                eprintln!("skipped: no user and mount namespaces here");
                return None;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let seen = PathBuf::from(format!("/proc/{}/root{}", shell.id(), inside.display()));
        Some(Mount {
            shell,
            seen,
            inside,
        })
    }

    fn enter(&self) -> Vec<String> {
        let pid = self.shell.id().to_string();
        ["nsenter", "--preserve-credentials", "-U", "-m", "-t", &pid]
            .map(str::to_owned)
            .to_vec()
    }

    fn remount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{options}")]);
        mount.arg(&self.inside);
        assert_exit(&limited(self.enter(), &mount), 0);
    }

    /// The job's command, onto this file system.
    fn command(&self, bench: &Bench) -> Command {
        let mut command = bench.command(&[]);
        command.arg("--output").arg(self.output(bench));
        command
    }

    fn output(&self, bench: &Bench) -> PathBuf {
        self.inside.join(bench.output)
    }

    fn run(&self, bench: &Bench) -> Output {
        limited(self.enter(), &self.command(bench))
    }

    /// Brings the job's files where the bench looks for them.
    fn take_out(&self, bench: &Bench) {
        for ending in ["", ".failed.ndjson", ".checkpoint", ".versions"] {
            let name = format!("{}{ending}", bench.output);
            fs::copy(self.seen.join(&name), bench.file("/").join(&name)).unwrap();
        }
        let name = format!("{}.lock", bench.output);
        assert!(!self.seen.join(name).exists(), "the lock was left behind");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// Exit 1 with a message that names one of the job's files and a full disk.
#[track_caller]
fn assert_full(run: &Output, mount: &Mount, bench: &Bench) {
    assert_told(run, &mount.output(bench));
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(stderr.contains("free some space"), "{}", told(run));
}

#[test]
fn a_disk_that_grows_page_by_page_fills_again_and_again_and_loses_nothing() {
    let mut bench = Bench::new("out.ndjson", 150, "400/s");
    let Some(mount) = Mount::new(&bench, "size=4k") else {
        return;
    };
    let (mut full, mut lines) = (0, 0);
    for kib in (4..40).step_by(4).chain([64, 100, 160, 240, 300]) {
        mount.remount(&format!("size={kib}k"));
        let from = bench.answered().len();
        let run = mount.run(&bench);
        assert_full(&run, &mount, &bench);
        bench.broken(from);
        full += 1;
        // What was committed is never lost again.
        let now = fs::read(mount.seen.join(bench.output))
            .map_or(0, |all| all.iter().filter(|byte| **byte == b'\n').count());
        lines = lines.max(now);
    }
    println!("full {full} times, at most {lines} lines before the end");
    mount.remount("size=8m");
    assert_exit(&mount.run(&bench), 3);
    mount.take_out(&bench);
    bench.assert_few_twice();
}

#[test]
fn a_disk_without_inodes_is_full_too() {
    let mut bench = Bench::new("out.ndjson", 40, "200/s");
    let Some(mount) = Mount::new(&bench, "size=4m,nr_inodes=1") else {
        return;
    };
    // The root; then the lock, the output, the checkpoint, the versions, the failures file.
    for inodes in 1..=5 {
        mount.remount(&format!("nr_inodes={inodes}"));
        let from = bench.answered().len();
        assert_full(&mount.run(&bench), &mount, &bench);
        bench.broken(from);
    }
    mount.remount("nr_inodes=6");
    assert_exit(&mount.run(&bench), 3);
    mount.take_out(&bench);
    bench.assert_few_twice();
}

#[test]
fn another_program_fills_the_disk_during_the_run() {
    let mut bench = Bench::new("out.csv", 300, "200/s");
    let Some(mount) = Mount::new(&bench, "size=1m") else {
        return;
    };
    let output = mount.seen.join(bench.output);
    for _ in 0..3 {
        let from = bench.answered().len();
        let before = fs::metadata(&output).map_or(0, |m| m.len());
        let mut command = Command::new(&mount.enter()[0]);
        command.args(&mount.enter()[1..]);
        let asked = mount.command(&bench);
        command.arg(asked.get_program()).args(asked.get_args());
        let run = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for("a commit", || {
            fs::metadata(&output).map_or(0, |m| m.len()) > before
        });
        let filler = mount.seen.join("filler");
        let _ = fs::write(&filler, vec![0; 2 << 20]).unwrap_err();
        // The output's last page may have room for a commit or two.
        assert_full(&run.wait_with_output().unwrap(), &mount, &bench);
        bench.broken(from);
        // Still full: the same words, and nothing is lost.
        let from = bench.answered().len();
        assert_full(&mount.run(&bench), &mount, &bench);
        bench.broken(from);
        fs::remove_file(filler).unwrap();
        bench.more(100);
    }
    assert_exit(&mount.run(&bench), 3);
    mount.take_out(&bench);
    bench.assert_few_twice();
}

#[test]
fn a_read_only_file_system_is_told_and_the_job_goes_on_when_it_is_writable() {
    let mut bench = Bench::new("out.ndjson", 40, "400/s");
    let Some(mount) = Mount::new(&bench, "size=8m") else {
        return;
    };
    for _ in 0..2 {
        mount.remount("ro");
        let run = mount.run(&bench);
        assert_told(&run, &mount.output(&bench));
        assert!(told(&run).contains("make it writable"), "{}", told(&run));
        mount.remount("rw");
        assert_exit(&mount.run(&bench), 3);
        bench.more(20);
    }
    assert_exit(&mount.run(&bench), 3);
    mount.take_out(&bench);
    bench.assert_few_twice();
}

/// `ulimit -f`: a write is cut short where the limit is, and the next one fails.
#[test]
fn a_file_size_limit_stops_the_run_and_not_a_signal() {
    if !tool("prlimit", "util-linux") {
        return;
    }
    for name in ["out.ndjson", "out.csv"] {
        let mut bench = Bench::new(name, 120, "400/s");
        let mut stopped = 0;
        for limit in [10, 200, 600, 1_501, 5_003, 10_007, 50_021, 100_003, 200_003] {
            let from = bench.answered().len();
            let run = bench.behind(["prlimit", &format!("--fsize={limit}")]);
            if run.status.code() == Some(3) {
                break; // CSV rows are short.
            }
            assert_told(&run, &bench.file(""));
            assert!(told(&run).contains("file size limit"), "{}", told(&run));
            bench.broken(from);
            stopped += 1;
        }
        assert!(stopped >= 5, "{name}: stopped {stopped} times only");
        bench.finish();
    }
}

/// Lines that nobody can be told are no reason to stop.
#[test]
fn a_full_stderr_stops_no_run_and_a_full_stdout_is_told() {
    let full = || {
        fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    for level in ["warn", "trace"] {
        let bench = Bench::new("out.ndjson", 40, "400/s");
        for format in [["--log-format", "json"], ["--progress", "bar"]] {
            let run = bench
                .command(&["--log-level", level])
                .args(format)
                .stderr(full())
                .status()
                .unwrap();
            assert_eq!(run.code(), Some(3));
        }
        bench.assert_few_twice();
    }
    let bench = Bench::new("out.ndjson", 40, "400/s");
    for arguments in [&["--output", "-"][..], &["--help"]] {
        let mut command = bench.command(arguments);
        let run = command.stdout(full()).stderr(Stdio::piped());
        let run = run.spawn().unwrap().wait_with_output().unwrap();
        assert_clean(&run);
        if arguments[0] == "--output" {
            assert_exit(&run, 1);
            assert!(told(&run).contains("error: stdout: "), "{}", told(&run));
            assert!(told(&run).contains("--output"), "{}", told(&run));
            assert!(!told(&run).contains("is safe"), "{}", told(&run));
        }
    }
    for words in [&["check"][..], &["status"], &["schema"]] {
        let mut command = harvest();
        command.args(words);
        if words[0] != "schema" {
            command.arg(&bench.job);
        }
        let run = command.stdout(full()).stderr(Stdio::piped());
        let run = run.spawn().unwrap().wait_with_output().unwrap();
        assert_exit(&run, 1);
        assert!(
            told(&run).contains("stdout can't be written"),
            "{}",
            told(&run)
        );
        assert_clean(&run);
    }
}

#[test]
fn files_have_the_user_s_umask() {
    for (umask, mode) in [("027", 0o640), ("077", 0o600), ("002", 0o664)] {
        let bench = Bench::new("out.ndjson", 40, "400/s");
        let run = bench.behind(["sh", "-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
        assert_exit(&run, 3);
        for ending in ["", ".failed.ndjson", ".checkpoint"] {
            let path = bench.file(ending);
            let found = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(found, mode, "{}: {found:o}", path.display());
            let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
            assert!(!text.contains(SECRET));
            for seen in bench.seen() {
                if let Some(token) = seen.issued {
                    assert!(!text.contains(&token));
                }
            }
        }
        let names: Vec<String> = fs::read_dir(bench.file("/"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("out."))
            .collect();
        assert_eq!(names.len(), 4, "{names:?}");
    }
}

/// A starter file that could not be written whole is not left behind.
#[test]
fn init_leaves_no_half_of_a_file() {
    if !tracer() {
        return;
    }
    let place = Place::new();
    let path = place.path("new.toml");
    let mut init = harvest();
    init.args(["init", "spotify", "--output"]).arg(&path);
    let inject = "-qqq -e trace=write -e inject=write:error=ENOSPC -P";
    let tracer = ["strace"].into_iter().chain(inject.split(' '));
    let run = limited(tracer.chain([path.to_str().unwrap()]), &init);
    assert_exit(&run, 1);
    assert!(told(&run).contains("new.toml"), "{}", told(&run));
    assert!(!path.exists());
    assert_exit(&limited(None::<&str>, &init), 0);
}
