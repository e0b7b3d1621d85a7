//! Closures that stand on their own, as the parse of their file shows.
//!
//! A stored closure is parsed in a build without its file: only the values it captures and the commands it calls are there. freeze.rs stores
//! all that the first parse found in it, so a second parse finds nothing new, unless names mean something else without the file, or the text
//! uses names that only the parser reads. This file tells where that cannot be. It says "no" wherever it is not sure, and then the text
//! is parsed once more: a "yes" for a text that does not parse on its own is a fault, which the tests look for (Request::Eval, `doubt`).
use crate::{diag, load};
use nu_protocol::{
    DeclId, LAST_VARIABLE_ID, Span, VarId,
    ast::Block,
    engine::EngineState,
    ir::Instruction,
};
use std::collections::HashMap;

/// Words of the parser that bring names in, or read them while they are parsed. They are looked for in the whole text, also in comments.
const WORDS: &[&str] = &["alias", "const", "def", "export", "extern", "help", "hide", "match", "module", "overlay", "run-internal", "source", "source-env", "use"];

/// What is known about one closure and the commands that it calls.
pub struct Known {
    whole: bool,
    commands: HashMap<String, DeclId>,
    /// Of the text that is looked at: the variables stored with it, and whether it is that of a command.
    captures: Vec<VarId>,
    command: bool,
}

impl Known {
    pub fn new() -> Self {
        Known { whole: true, commands: HashMap::new(), captures: vec![], command: false }
    }

    fn must(&mut self, true_of_it: bool) {
        self.whole &= true_of_it;
    }

    /// Looks at the text of a closure, from { to }.
    pub fn closure(&mut self, text: &[u8], captures: Vec<VarId>) {
        (self.captures, self.command) = (captures, false);
        let parameters = text.strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"|"));
        self.must(parameters && text.ends_with(b"}") && no_words(text));
    }

    /// Looks at the text of a command, from its parameters to the } of its body, which begins at `body`.
    pub fn command(&mut self, text: &[u8], body: Option<usize>, captures: Vec<VarId>) {
        (self.captures, self.command) = (captures, true);
        let parameters = body.and_then(|at| text.get(..at)).is_some_and(|t| !t.iter().any(|b| matches!(b, b'$' | b'(' | b'@' | b'{')));
        self.must(parameters && text.ends_with(b"}") && no_words(text));
    }

    /// Notes that a text calls the command `name`, which is stored with it.
    pub fn calls(&mut self, name: &str, decl: DeclId) {
        let plain = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '));
        let same = *self.commands.entry(name.to_string()).or_insert(decl) == decl;
        self.must(plain && same);
    }

    /// Looks at a block of the text, which stands at `own`: the `first` one is that of the text itself.
    pub fn block(&mut self, es: &EngineState, block: &Block, own: Span, first: bool, name_of: impl Fn(VarId) -> String) {
        let s = &block.signature;
        let defaults = s.optional_positional.iter().any(|p| p.default_value.is_some()) || s.named.iter().any(|f| f.default_value.is_some());
        self.must(!defaults || first && self.command);
        let Some(ir) = &block.ir_block else { return self.must(false) };
        for (i, span) in ir.instructions.iter().zip(&ir.spans) {
            match i {
                Instruction::LoadVariable { var_id, .. } if *var_id > LAST_VARIABLE_ID => {
                    // It is declared in the text, or stored by the name that the text has for it.
                    let declared = es.get_var(*var_id).declaration_span;
                    let inside = own.contains_span(declared) && declared != Span::unknown();
                    let named = || load::variable_text(diag::text_at(es, *span)).is_some_and(|name| name == name_of(*var_id));
                    self.must(inside || self.captures.contains(var_id) && named());
                }
                Instruction::Call { decl_id, .. } => {
                    let decl = es.get_decl(*decl_id);
                    self.must(!decl.is_known_external() && !decl.is_alias());
                }
                _ => {}
            }
        }
    }

    /// Whether the closure stands on its own for certain.
    pub fn stands(&self, es: &EngineState) -> bool {
        // No call can mean another command than it did in its file: neither one of Nushell, nor one that another text brings with it.
        self.whole
            && self.commands.keys().all(|name| {
                let first = name.split(' ').next().unwrap_or_default();
                let longer = format!("{name} ");
                es.find_decl(name.as_bytes(), &[]).is_none()
                    && es.find_decl(first.as_bytes(), &[]).is_none()
                    && !self.commands.keys().any(|other| other.starts_with(&longer))
            })
    }
}

/// Whether none of WORDS is in a text.
fn no_words(text: &[u8]) -> bool {
    let part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    !text.split(|b| !part(b)).any(|word| WORDS.iter().any(|w| w.as_bytes() == word))
}
