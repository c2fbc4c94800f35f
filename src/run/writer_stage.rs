//! The writer, on a thread of its own: an fdatasync must not hold up what is
//! in flight. One writer owns the files; this hands it outcomes in order.

use super::error::RunError;
use crate::outcome::Outcome;
use crate::pace::Note;
use crate::write::{Closing, Counts, WriteError, Writer};
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
    Commit(Note, Closing),
}

/// What the writer answers.
#[derive(Debug)]
pub(super) enum Reply {
    Committed,
    Failed(WriteError),
}

/// What the writer leaves behind.
#[derive(Debug, Default)]
pub(super) struct Final {
    pub(super) counts: Counts,
    pub(super) unexpected_fields: BTreeMap<String, u64>,
}

/// The run's end of the stage.
#[derive(Debug)]
pub(super) struct WriterStage {
    messages: mpsc::Sender<Message>,
    batch: Vec<Outcome>,
    batch_bytes: usize,
    pub(super) replies: mpsc::Receiver<Reply>,
    thread: JoinHandle<Final>,
}

pub(super) fn start(mut writer: Writer) -> Result<WriterStage, RunError> {
    let (messages, mut inbox) = mpsc::channel(QUEUE);
    // One commit is under way at most, and one failure ends it all.
    let (reply, replies) = mpsc::channel(4);
    let thread = std::thread::Builder::new()
        .name("writer".into())
        .spawn(move || {
            while let Some(message) = inbox.blocking_recv() {
                let result = match message {
                    Message::Outcomes(outcomes) => outcomes
                        .iter()
                        .try_for_each(|outcome| writer.append(outcome)),
                    Message::Commit(note, closing) => {
                        let result = writer.commit(note, closing);
                        if result.is_ok() && reply.blocking_send(Reply::Committed).is_err() {
                            break;
                        }
                        result
                    }
                };
                if let Err(error) = result {
                    let _ = reply.blocking_send(Reply::Failed(error));
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
        batch: Vec::new(),
        batch_bytes: 0,
        replies,
        thread,
    })
}

impl WriterStage {
    /// Takes an outcome, and hands it on with others, at the next commit at the
    /// latest: before that, nobody sees it anyway. Waits while the disk is behind.
    pub(super) async fn outcome(&mut self, outcome: Outcome) -> Result<(), RunError> {
        self.batch_bytes += match &outcome.pages {
            None => outcome.fate.as_ref().map_or(0, |record| record.body.len()),
            Some(pages) => pages.bytes(),
        };
        self.batch.push(outcome);
        if self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
            self.hand_over().await?;
        }
        Ok(())
    }

    async fn hand_over(&mut self) -> Result<(), RunError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        self.send(Message::Outcomes(batch)).await
    }

    /// Asks for a commit of all that was taken.
    pub(super) async fn commit(&mut self, note: Note, closing: Closing) -> Result<(), RunError> {
        self.hand_over().await?;
        self.send(Message::Commit(note, closing)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), RunError> {
        if self.messages.send(message).await.is_ok() {
            return Ok(());
        }
        // The thread is gone; its last reply says why.
        loop {
            match self.replies.recv().await {
                Some(Reply::Failed(error)) => return Err(error.into()),
                Some(Reply::Committed) => {}
                None => return Err(RunError::StageGone("write")),
            }
        }
    }

    /// Waits for the answer to the last commit.
    pub(super) async fn reply(&mut self) -> Result<(), RunError> {
        match self.replies.recv().await {
            Some(Reply::Committed) => Ok(()),
            Some(Reply::Failed(error)) => Err(error.into()),
            None => Err(RunError::StageGone("write")),
        }
    }

    /// Ends the stage and closes the files.
    pub(super) fn end(self) -> Result<Final, RunError> {
        drop(self.messages);
        drop(self.replies);
        self.thread.join().map_err(|_| RunError::StageGone("write"))
    }
}
