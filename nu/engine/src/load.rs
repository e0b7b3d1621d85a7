//! Loads package files as modules. The host says which file a `use` means and gives its text, so evaluation needs no
//! file system; every file is parsed once, under its one canonical path, however many others use it.
use crate::{
    check,
    diag::{self, Diag},
    host,
    memo::Package,
};
use nu_protocol::{
    BlockId, ModuleId, ParseError, Span, Type, Value,
    ast::{Argument, Expr, Expression},
    engine::{EngineState, StateWorkingSet},
};
use serde_json::json;
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
};

/// The constant of every package module that says which file it is; values never keep it when they are frozen.
pub const MODULE_KEY: &str = "__module";

/// Where a command is written: what stands after its name, up to the end of its body.
#[derive(Clone)]
pub struct DefText {
    pub text: Span,
    pub flags: Vec<String>,
}

#[derive(Default)]
struct Loaded {
    modules: HashMap<String, ModuleId>,
    defs: HashMap<usize, DefText>,
    names: HashMap<usize, String>,
}

thread_local! {
    static LOADED: RefCell<Loaded> = RefCell::default();
}

/// The module that was loaded from `path`.
pub fn module(path: &str) -> Option<ModuleId> {
    LOADED.with(|l| l.borrow().modules.get(path).copied())
}

/// The text of the command whose body is `block`.
pub fn def_text(block: BlockId) -> Option<DefText> {
    LOADED.with(|l| l.borrow().defs.get(&block.get()).cloned())
}

/// The name of variable `id`, as its uses show it.
pub fn used_name(id: usize) -> Option<String> {
    LOADED.with(|l| l.borrow().names.get(&id).cloned())
}

/// Forgets everything, for a new evaluation in the same instance.
pub fn reset() {
    LOADED.with(|l| *l.borrow_mut() = Loaded::default());
}

/// Loads files, and those that they use, into an engine.
pub struct Load<'a> {
    pub es: &'a mut EngineState,
    /// The files being loaded: their paths, and what people call them.
    stack: Vec<(String, String)>,
}

impl<'a> Load<'a> {
    pub fn new(es: &'a mut EngineState) -> Self {
        Load { es, stack: vec![] }
    }

    /// Loads the file that `name` means in the file `from`. An error without a position is about the `use` itself.
    pub fn file(&mut self, from: &str, name: &str) -> Result<(String, ModuleId), Vec<Diag>> {
        let bare = |msg: String, hint: String| vec![Diag { msg, hint, ..Default::default() }];
        let found = host::call("load", json!({"from": from, "name": name})).map_err(|r| bare(r.msg, r.help.unwrap_or_default()))?;
        let text = |k: &str| found[k].as_str().unwrap_or_default().to_string();
        let (path, source, shown) = (text("path"), text("text"), text("shown"));
        if let Some(id) = module(&path) {
            return Ok((path, id));
        }
        if let Some(i) = self.stack.iter().position(|(p, _)| *p == path) {
            let mut ring: Vec<&str> = self.stack[i..].iter().map(|(_, s)| s.as_str()).collect();
            ring.push(&shown);
            return Err(bare(format!("packages use each other in a circle: {}", ring.join(" → ")), "move what both need into a third file".into()));
        }
        self.stack.push((path.clone(), shown));
        let r = self.parse(&path, &source);
        self.stack.pop();
        Ok((path, r?))
    }

    fn parse(&mut self, path: &str, source: &str) -> Result<ModuleId, Vec<Diag>> {
        // First the modules it uses: the parser says which it misses, by the name their text evaluates to.
        let mut uses: BTreeMap<String, ModuleId> = BTreeMap::new();
        loop {
            let mut ws = StateWorkingSet::new(self.es);
            let parsed = parse_file(&mut ws, path, source, &uses);
            let missing: Vec<(Span, String)> = match &parsed {
                Err(_) => vec![],
                Ok(_) => ws
                    .parse_errors
                    .iter()
                    .filter_map(|e| match e {
                        ParseError::ModuleNotFound(s, n) if !uses.contains_key(n) => Some((*s, n.clone())),
                        _ => None,
                    })
                    .collect(),
            };
            if missing.is_empty() {
                let id = parsed.map_err(|d| vec![d])?;
                let errors = check::errors(&ws);
                if !errors.is_empty() {
                    return Err(errors);
                }
                self.note(&ws);
                let delta = ws.render();
                self.es.merge_delta(delta).map_err(|e| vec![Diag { msg: e.to_string(), ..Default::default() }])?;
                LOADED.with(|l| l.borrow_mut().modules.insert(path.to_string(), id));
                return Ok(id);
            }
            // The spans belong to this working set; places are worked out before it is dropped.
            let places: Vec<(Diag, String)> = missing.into_iter().map(|(s, n)| (diag::at(&ws, s, "", "", ""), n)).collect();
            drop(ws);
            for (place, name) in places {
                if uses.contains_key(&name) {
                    continue;
                }
                let (_, id) = self.file(path, &name).map_err(|errs| {
                    errs.into_iter()
                        .map(|e| if e.file.is_empty() { Diag { msg: e.msg, hint: e.hint, ..place.clone() } } else { e })
                        .collect::<Vec<_>>()
                })?;
                uses.insert(name, id);
            }
        }
    }

    /// Notes where commands are written and what variables are called, for freezing.
    fn note(&self, ws: &StateWorkingSet) {
        note(ws);
    }
}

/// Notes where the commands of the working set are written and what its variables are called.
pub fn note(ws: &StateWorkingSet) {
    LOADED.with(|l| {
        let mut l = l.borrow_mut();
        for block in &ws.delta.blocks {
            for e in block.pipelines.iter().flat_map(|p| &p.elements).map(|e| &e.expr) {
                if let Some((id, def)) = def_of(ws, e) {
                    l.defs.insert(id.get(), def);
                }
            }
            for (i, span) in block.ir_block.iter().flat_map(|ir| ir.instructions.iter().zip(&ir.spans)) {
                if let nu_protocol::ir::Instruction::LoadVariable { var_id, .. } = i
                    && let Some(name) = variable_text(ws.get_span_contents(*span))
                {
                    l.names.insert(var_id.get(), name);
                }
            }
        }
    });
}

fn variable_text(text: &[u8]) -> Option<String> {
    let s = std::str::from_utf8(text).ok()?.strip_prefix('$')?;
    let name: String = s.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-')).collect();
    (!name.is_empty()).then_some(name)
}

fn def_of(ws: &StateWorkingSet, e: &Expression) -> Option<(BlockId, DefText)> {
    let call = match &e.expr {
        Expr::Call(call) => call,
        Expr::AttributeBlock(a) => return def_of(ws, &a.item),
        _ => return None,
    };
    if !matches!(ws.get_decl(call.decl_id).name(), "def" | "export def") {
        return None;
    }
    let mut args = call.positional_iter().skip(1);
    let (sig, body) = (args.next()?, args.next()?);
    let id = match &body.expr {
        Expr::Closure(id) | Expr::Block(id) => *id,
        _ => return None,
    };
    let flags = call.arguments.iter().filter_map(|a| match a {
        Argument::Named((name, _, _)) => Some(name.item.clone()),
        _ => None,
    });
    Some((id, DefText { text: Span::new(sig.span.start, body.span.end), flags: flags.collect() }))
}

fn parse_file(ws: &mut StateWorkingSet, path: &str, source: &str, uses: &BTreeMap<String, ModuleId>) -> Result<ModuleId, Diag> {
    let file = ws.add_file(path, source.as_bytes());
    let span = ws.get_span_for_file(file);
    if let Some(off) = check::too_deep(source.as_bytes()) {
        let s = Span::new(span.start + off, span.start + off + 1);
        return Err(diag::at(ws, s, "brackets are nested too deep", "this one is the 201st", "split the value into several `let`"));
    }
    let name = module_name(path);
    // A frame of its own keeps the names given to modules here out of every other file.
    ws.enter_scope();
    ws.use_modules(uses.iter().map(|(n, id)| (n.clone().into_bytes(), *id)).collect());
    if let Err(e) = ws.files.push(PathBuf::from(path), Span::unknown()) {
        return Err(diag::of(ws, &e));
    }
    let (block, mut module, comments) = nu_parser::parse_module_block(ws, span, name.as_bytes());
    ws.add_block(Arc::new(block));
    if let Some(main) = module.main {
        let mut signature = ws.get_signature(ws.get_decl(main));
        signature.name = name.clone();
        module.main = Some(ws.add_decl(Box::new(Package { path: path.to_string(), main, signature })));
        let var = ws.add_variable_without_scope(Span::new(span.start, span.start), Type::String, false);
        ws.set_variable_const_val(var, Value::string(path, span));
        module.add_variable(MODULE_KEY.as_bytes().to_vec(), var);
    }
    module.span = Some(span);
    let id = ws.add_module(&name, module, comments);
    // Parsing an empty text makes the parser work out the captures of all new blocks.
    nu_parser::parse_fresh(ws, Some("nuka"), b"", false);
    ws.files.pop();
    ws.exit_scope();
    Ok(id)
}

/// The name under which `use` brings a file in: its stem, or its folder's name for mod.nu.
pub fn module_name(path: &str) -> String {
    let p = std::path::Path::new(path);
    let named = if p.file_name().is_some_and(|n| n == "mod.nu") { p.parent().and_then(|d| d.file_name()) } else { p.file_stem() };
    named.map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}
