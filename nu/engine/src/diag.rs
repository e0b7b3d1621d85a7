//! Errors with file, line, column, the source line and a hint.
use miette::Diagnostic;
use nu_protocol::{
    ShellError, Span,
    engine::{CachedFile, EngineState, StateWorkingSet},
};
use serde::Serialize;
use std::{cell::RefCell, collections::HashMap};

#[derive(Serialize, Default, Clone, Debug, PartialEq)]
pub struct Diag {
    pub file: String,
    pub line: usize,
    pub col: usize,
    pub len: usize,
    pub source: String,
    pub msg: String,
    pub label: String,
    pub hint: String,
    /// The calls on the way to it, the innermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<serde_json::Value>,
}

impl Diag {
    /// Where it is, for the host.
    pub fn place(&self) -> serde_json::Value {
        serde_json::json!({"file": self.file, "line": self.line, "col": self.col, "len": self.len, "source": self.source})
    }
}

thread_local! {
    /// The bytes put before a frozen closure so that it parses; they are hidden from positions.
    static PREFIX: RefCell<HashMap<String, usize>> = RefCell::default();
}

/// Says that the file `name` begins with `n` bytes that its author did not write.
pub fn hide_prefix(name: &str, n: usize) {
    PREFIX.with(|p| p.borrow_mut().insert(name.to_string(), n));
}

/// The file of the engine that the byte at `pos` is in. The files of an evaluation follow each other, and may be thousands.
pub fn file_at(es: &EngineState, pos: usize) -> Option<&CachedFile> {
    let files = es.get_file_contents();
    files.get(files.partition_point(|f| f.covered_span.end <= pos)).filter(|f| f.covered_span.contains(pos))
}

/// The text at `span` in the engine's files.
pub fn text_at(es: &EngineState, span: Span) -> &[u8] {
    match file_at(es, span.start) {
        Some(f) if f.covered_span.contains_span(span) => &f.content[span.start - f.covered_span.start..span.end - f.covered_span.start],
        _ => es.get_span_contents(span),
    }
}

/// The file that `span` begins in, or ends, if there is nothing behind it.
fn file_of<'a>(ws: &'a StateWorkingSet, span: Span) -> Option<&'a CachedFile> {
    let holds = |f: &&CachedFile| f.covered_span.contains(span.start);
    let ends = |f: &&CachedFile| span.start == f.covered_span.end && !f.content.is_empty() && span.start > 0;
    let new = ws.delta.get_file_contents().iter();
    file_at(ws.permanent_state, span.start).or_else(|| new.clone().find(holds)).or_else(|| new.rev().chain(ws.permanent_state.files().rev()).find(ends))
}

/// A diagnostic at `span`.
pub fn at(ws: &StateWorkingSet, span: Span, msg: impl Into<String>, label: impl Into<String>, hint: impl Into<String>) -> Diag {
    let plain = |s: String| s.trim().trim_end_matches('.').to_string();
    let mut d = Diag { msg: lower(plain(msg.into())), label: plain(label.into()), hint: hint.into(), ..Default::default() };
    let Some(f) = file_of(ws, span) else { return d };
    let text = &f.content[..];
    let off = (span.start - f.covered_span.start).min(text.len());
    let begin = text[..off].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let end = text[off..].iter().position(|b| *b == b'\n').map_or(text.len(), |i| off + i);
    let stop = (span.end.max(span.start) - f.covered_span.start).clamp(off, end);
    let hidden = if begin == 0 { PREFIX.with(|p| p.borrow().get(&*f.name).copied().unwrap_or(0)).min(off) } else { 0 };
    let chars = |b: &[u8]| String::from_utf8_lossy(b).chars().count();
    d.file = f.name.to_string();
    d.line = 1 + text[..off].iter().filter(|b| **b == b'\n').count();
    d.col = 1 + chars(&text[begin + hidden..off]);
    d.len = chars(&text[off..stop]).max(1);
    d.source = String::from_utf8_lossy(&text[begin + hidden..end]).trim_end_matches('\r').chars().take(500).collect();
    d
}

/// Where `span` is in the package files, for the host.
pub fn place(es: &EngineState, span: Span) -> serde_json::Value {
    at(&StateWorkingSet::new(es), span, "", "", "").place()
}

/// Messages begin with a small letter, but for names.
fn lower(s: String) -> String {
    let mut c = s.chars();
    match (c.next(), c.next()) {
        (Some(a), Some(b)) if a.is_uppercase() && b.is_lowercase() => a.to_lowercase().chain([b]).chain(c).collect(),
        _ => s,
    }
}

/// A diagnostic for anything the parser, the compiler or a command reports.
pub fn of(ws: &StateWorkingSet, e: &dyn Diagnostic) -> Diag {
    let (span, label) = e.labels().and_then(|mut l| l.next()).map_or((Span::unknown(), String::new()), |l| {
        (Span::new(l.offset(), l.offset() + l.len()), l.label().unwrap_or_default().to_string())
    });
    let hint = lower(e.help().map(|h| h.to_string()).unwrap_or_default()).replace(" . Use `--help` for more information.", "").replace(" {flags}", "");
    let hint = if hint.starts_with("check the syntax around") { String::new() } else { hint };
    at(ws, span, e.to_string(), label, hint)
}

/// A diagnostic for the error at the root of `e`: wrappers that only say where it passed through are dropped.
pub fn of_shell(ws: &StateWorkingSet, e: &ShellError) -> Diag {
    match e {
        ShellError::EvalBlockWithInput { sources, .. } if !sources.is_empty() => of_shell(ws, &sources[0]),
        ShellError::ChainedError(c) => match c.clone().sources_iter().next() {
            Some(inner) => of_shell(ws, &inner),
            None => of(ws, e),
        },
        ShellError::RecursionLimitReached { recursion_limit, span } => at(
            ws,
            span.unwrap_or(Span::unknown()),
            format!("commands call each other more than {recursion_limit} deep"),
            "this is called again and again",
            "end the recursion, or use `reduce`, `each` or `generate`",
        ),
        ShellError::CantFindColumn { span: Some(s), .. } if ws.get_span_contents(*s).starts_with(b"$env") => {
            let mut d = of(ws, e);
            d.hint = "the environment holds PWD, and in a build what `env` of the derivation sets".into();
            d.label = String::new();
            d
        }
        _ => of(ws, e),
    }
}
