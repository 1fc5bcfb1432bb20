//! Markdown, as far as the handbook uses it.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// One file.
pub(super) struct Page {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// A block between fences.
pub(super) struct Block {
    /// What the fence says.
    pub(super) info: String,
    pub(super) text: String,
    /// Where it begins, from 1.
    pub(super) line: usize,
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A configuration or a part of one; `is_file` = it is the `config.toml` of the commands below it.
    Config {
        is_file: bool,
    },
    /// Commands behind `$`, and what they print.
    Commands,
    /// Commands that need root, another machine or a registry: not run here.
    Elsewhere,
    Json,
    /// Neither a command nor a configuration: output, and other programs' files.
    Text,
}

impl Kind {
    pub(super) const NAMES: &'static str =
        "`toml`, `toml,config.toml`, `console`, `sh`, `json` and `text`";
}

impl Block {
    pub(super) fn kind(&self) -> Option<Kind> {
        Some(match self.info.as_str() {
            "toml" => Kind::Config { is_file: false },
            "toml,config.toml" => Kind::Config { is_file: true },
            "console" => Kind::Commands,
            "sh" => Kind::Elsewhere,
            "json" => Kind::Json,
            "text" => Kind::Text,
            _ => return None,
        })
    }
}

impl Page {
    pub(super) fn read(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        Self { path, text }
    }

    /// The blocks, without the indentation that they have in lists.
    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<(usize, Block)> = None;
        for (index, line) in self.text.lines().enumerate() {
            let trimmed = line.trim_start();
            let indent = line.len() - trimmed.len();
            match (&mut open, trimmed.strip_prefix("```")) {
                (None, Some(info)) => {
                    let info = info.trim().to_owned();
                    open = Some((indent, Block { info, text: String::new(), line: index + 1 }));
                }
                (Some(_), Some("")) => blocks.extend(open.take().map(|(_, block)| block)),
                (Some((indent, block)), _) => {
                    block.text += line.get(*indent..).unwrap_or_default();
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{} ends within a block", self.path.display());
        blocks
    }

    /// The lines outside of blocks.
    fn prose(&self) -> impl Iterator<Item = &str> {
        let mut is_block = false;
        self.text.lines().filter(move |line| {
            let is_fence = line.trim_start().starts_with("```");
            is_block ^= is_fence;
            !is_block && !is_fence
        })
    }

    /// Where links and pictures lead.
    pub(super) fn links(&self) -> impl Iterator<Item = String> {
        self.prose().flat_map(|line| {
            line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        })
    }

    /// What can stand behind `#` in a link to this page.
    pub(super) fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose().filter(|line| line.starts_with('#'));
        let anchor = |heading: &str| -> String {
            let words = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        };
        headings.map(anchor).collect()
    }
}
