//! The writer, on a thread of its own: an fdatasync must not hold up what is
//! in flight. One writer owns the files; this hands it outcomes in order, and
//! brings back what was written of them.

use crate::checkpoint::ItemKey;
use crate::outcome::Outcome;
use crate::pace::Note;
use crate::run::error::RunError;
use crate::run::tally::Written;
use crate::write::{Appended, Closing, Counts, WriteError, Writer};
use std::collections::BTreeMap;
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// Outcomes handed over together: a thread's wake-up costs as much as a line.
const BATCH: usize = 64;
/// The same in bytes: a batch of this size is handed over whatever its number.
const BATCH_BYTES: usize = 1 << 20;
/// Batches that wait for the disk at most.
const QUEUE: usize = 8;

enum Message {
    Outcomes(Vec<Outcome>),
    Commit(Commit),
}

/// What a commit keeps beside the outcomes.
#[derive(Debug)]
pub(in crate::run) struct Commit {
    pub(in crate::run) note: Note,
    /// The ID of an item that was answered well.
    pub(in crate::run) known_good: Option<String>,
    pub(in crate::run) closing: Closing,
}

/// What the writer answers: what it has written, or `None` when a commit is durable.
type Reply = Result<Option<News>, WriteError>;

/// What was written, and what that ended.
#[derive(Debug, Default)]
pub(in crate::run) struct News {
    pub(in crate::run) written: Written,
    /// Items that have failed in a part of them, while more was to come.
    pub(in crate::run) failed_in_part: Vec<ItemKey>,
    /// Of such items, those of which nothing more comes.
    pub(in crate::run) over: Vec<ItemKey>,
}

/// Writes them.
fn append(writer: &mut Writer, outcomes: &[Outcome]) -> Result<News, WriteError> {
    let mut news = News::default();
    for outcome in outcomes {
        let pages = outcome.pages.as_ref();
        let goes_on = pages.is_some_and(|pages| pages.resume_point.is_some());
        let key = || ItemKey::of(&outcome.id, outcome.occurrence);
        match writer.append(outcome)? {
            Appended::Written => news.written.outcome(outcome),
            Appended::Failed(failure) => {
                news.written.failure(&outcome.id, &failure);
                if goes_on {
                    news.failed_in_part.push(key());
                }
            }
            Appended::Left if goes_on => {}
            Appended::Left => news.over.push(key()),
        }
    }
    Ok(news)
}

/// What the writer leaves behind.
#[derive(Debug, Default)]
pub(in crate::run) struct Final {
    pub(in crate::run) counts: Counts,
    pub(in crate::run) unexpected_fields: BTreeMap<String, u64>,
}

/// The engine's end of the stage.
#[derive(Debug)]
pub(in crate::run) struct WriterStage {
    messages: mpsc::Sender<Message>,
    /// The outbox: outcomes, and then perhaps a commit of all of them.
    outcomes: Vec<Outcome>,
    bytes: usize,
    commit: Option<Commit>,
    replies: mpsc::UnboundedReceiver<Reply>,
    thread: JoinHandle<Final>,
}

/// Starts the stage.
pub(in crate::run) fn start(mut writer: Writer) -> Result<WriterStage, RunError> {
    let (messages, mut inbox) = mpsc::channel(QUEUE);
    // The engine reads replies before it hands on more. Were there a bound, each
    // could wait for the other; so it is the bound of what it has handed on.
    let (reply, replies) = mpsc::unbounded_channel();
    let thread = std::thread::Builder::new()
        .name("writer".into())
        .spawn(move || {
            while let Some(message) = inbox.blocking_recv() {
                let result = match message {
                    Message::Outcomes(outcomes) => append(&mut writer, &outcomes).map(Some),
                    Message::Commit(commit) => writer
                        .commit(commit.note, commit.known_good.as_deref(), commit.closing)
                        .map(|()| None),
                };
                let is_last = result.is_err();
                if reply.send(result).is_err() || is_last {
                    break;
                }
            }
            Final {
                counts: writer.counts(),
                unexpected_fields: writer.unexpected_fields().clone(),
            }
        })
        .map_err(RunError::Thread)?;
    Ok(WriterStage {
        messages,
        outcomes: Vec::new(),
        bytes: 0,
        commit: None,
        replies,
        thread,
    })
}

impl WriterStage {
    /// Puts an outcome into the outbox.
    pub(in crate::run) fn push(&mut self, outcome: Outcome) {
        self.bytes += match &outcome.pages {
            None => outcome.fate.as_ref().map_or(0, |record| record.body.len()),
            Some(pages) => pages.bytes(),
        };
        self.outcomes.push(outcome);
    }

    /// Asks for a commit of all that was pushed so far.
    pub(in crate::run) fn push_commit(&mut self, commit: Commit) {
        self.commit = Some(commit);
    }

    /// Hands the outbox over when it is worth a wake-up of the thread, and at a
    /// commit at the latest; when somebody `looks`, as soon as the thread has
    /// nothing to do. Waits while the disk is behind: what is handed over for a
    /// look must not fill the queue, or requests that have their permit wait, too.
    pub(in crate::run) async fn flush(&mut self, looks: bool) -> Result<(), RunError> {
        let full = self.outcomes.len() >= BATCH || self.bytes >= BATCH_BYTES;
        let idle = self.messages.capacity() == QUEUE;
        let due = self.commit.is_some() || (looks && idle);
        if full || (due && !self.outcomes.is_empty()) {
            self.bytes = 0;
            let outcomes = std::mem::take(&mut self.outcomes);
            self.send(Message::Outcomes(outcomes)).await?;
        }
        if let Some(commit) = self.commit.take() {
            self.send(Message::Commit(commit)).await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), RunError> {
        if self.messages.send(message).await.is_ok() {
            return Ok(());
        }
        // The thread is gone; its last reply says why.
        loop {
            self.reply().await?;
        }
    }

    /// The next reply: what was written, or `None` when a commit is durable.
    pub(in crate::run) async fn reply(&mut self) -> Result<Option<News>, RunError> {
        let reply = self.replies.recv().await;
        Ok(reply.ok_or(RunError::StageGone("write"))??)
    }

    /// Ends the stage and closes the files.
    pub(in crate::run) fn end(self) -> Result<Final, RunError> {
        drop(self.messages);
        drop(self.replies);
        self.thread.join().map_err(|_| RunError::StageGone("write"))
    }
}
