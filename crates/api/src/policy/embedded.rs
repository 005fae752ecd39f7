//! The engine inside this process.
use std::{
    cell::RefCell,
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use regorus::{Engine, LimitError, Value, utils::limits::ExecutionTimerConfig};

use super::{
    Decision, Input, Policy, PolicyUnavailable, Reason,
    bundle::{Bundle, BundleFault},
    check_known_answers, input, known_questions,
    lint::{self, Faults},
    rego_tests,
};

/// The rule that answers any question.
const DECISION: &str = "data.gatepost.authz.decision";
/// The rule that answers a question which is known to be well-formed, in half the time.
const VERDICT: &str = "data.gatepost.authz.verdict";
/// The set of what else there is to ask.
const ACTIONS: &str = "data.gatepost.custom.actions";
/// How long one question may take: a bound on what an operator's rule can cost a worker. Far
/// more than the delivered policy needs, because time in which the thread waits for a core counts.
const LIMIT: Duration = Duration::from_millis(500);
/// Steps between looks at the clock.
const CHECK_INTERVAL: NonZeroU32 = NonZeroU32::new(64).expect("64 is not zero");
/// Questions that one call answers before it lets others run.
const TURN: usize = 32;

/// Numbers the policies of the whole process, so that threads notice a new one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// This thread's copy of the engine, and which policy it holds. Evaluation needs
    /// `&mut`, and a copy per thread shares no counters with other threads.
    static ENGINE: RefCell<Option<(u64, Engine)>> = const { RefCell::new(None) };
}

/// Evaluates the policy in this process, on the thread that asks.
pub struct Embedded {
    current: ArcSwap<Loaded>,
}

struct Loaded {
    generation: u64,
    digest: Arc<str>,
    grants_alone: bool,
    is_delivered: bool,
    // Only locked to be copied, once for each thread.
    engine: Mutex<Engine>,
}

impl Embedded {
    /// Compiles the policy and tries it.
    ///
    /// # Errors
    ///
    /// [`BundleFault::Refused`] if it does not compile, or gets known questions wrong.
    pub fn new(bundle: &Bundle) -> Result<Self, BundleFault> {
        Ok(Self {
            current: ArcSwap::from_pointee(Loaded::new(bundle)?),
        })
    }

    /// Decides by another policy from now on. Questions that are being answered, and batches of
    /// them, are answered to their end by the policy that they began with.
    ///
    /// # Errors
    ///
    /// As [`Self::new`]; the policy in force then stays.
    pub fn replace(&self, bundle: &Bundle) -> Result<(), BundleFault> {
        self.current.store(Loaded::new(bundle)?.into());
        Ok(())
    }
}

/// Finds out whether a policy can be used: it compiles without a fault, knows the answers to
/// known questions, and passes its own tests.
///
/// # Errors
///
/// [`BundleFault::Faults`] or [`BundleFault::Refused`], with file and line where there is one.
pub fn try_policy(bundle: &Bundle) -> Result<(), BundleFault> {
    let faults = lint::check(bundle);
    if !faults.is_empty() {
        return Err(BundleFault::Faults(Faults(faults)));
    }
    Loaded::new(bundle)?;
    let failed: Vec<_> = rego_tests::run(bundle)?
        .into_iter()
        // Our own are about our rules alone: an operator's may rightly change their answers.
        .filter(|test| test.is_fault() && !test.path.starts_with("policies/gatepost/"))
        .map(|test| lint::Fault {
            path: test.path,
            line: test.line,
            message: format!("the test {} fails", test.name),
        })
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(BundleFault::Faults(Faults(failed)))
    }
}

#[async_trait]
impl Policy for Embedded {
    async fn decide(&self, input: &Input) -> Result<Decision, PolicyUnavailable> {
        self.current.load().answer(input)
    }

    async fn decide_many(&self, inputs: &[Input]) -> Result<Vec<Decision>, PolicyUnavailable> {
        let mut decisions = Vec::with_capacity(inputs.len());
        let loaded = self.current.load_full();
        for turn in inputs.chunks(TURN) {
            if !decisions.is_empty() {
                tokio::task::yield_now().await;
            }
            for input in turn {
                decisions.push(loaded.answer(input)?);
            }
        }
        Ok(decisions)
    }

    async fn decide_document(
        &self,
        input: &serde_json::Value,
    ) -> Result<Decision, PolicyUnavailable> {
        self.current.load().evaluate(DECISION, input::json(input)?)
    }

    fn engine(&self) -> &'static str {
        "embedded"
    }

    fn digest(&self) -> Option<String> {
        Some(self.current.load().digest.to_string())
    }

    fn grants_alone(&self) -> bool {
        self.current.load().grants_alone
    }

    fn as_delivered(&self) -> Option<u64> {
        let current = self.current.load();
        current.is_delivered.then_some(current.generation)
    }

    async fn health(&self) -> Result<(), PolicyUnavailable> {
        let answers = self.decide_many(&known_questions()).await?;
        check_known_answers(&answers)
    }
}

impl Loaded {
    fn new(bundle: &Bundle) -> Result<Self, BundleFault> {
        let mut engine = compile(bundle, &BTreeMap::new())?;
        try_out(&mut engine).map_err(|error| BundleFault::Refused(error.to_string()))?;
        Ok(Self {
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            digest: bundle.digest().into(),
            grants_alone: bundle.grants_alone(),
            is_delivered: bundle.has_delivered_rules(),
            engine: Mutex::new(engine),
        })
    }

    fn copy(&self) -> Engine {
        self.engine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn answer(&self, input: &Input) -> Result<Decision, PolicyUnavailable> {
        let rule = if input.is_well_formed() {
            VERDICT
        } else {
            DECISION
        };
        self.evaluate(rule, input.to_value()?)
    }

    fn evaluate(&self, rule: &str, input: Value) -> Result<Decision, PolicyUnavailable> {
        // Taken out, so that an engine that failed or panicked is not used again.
        let mut engine = match ENGINE.take() {
            Some((generation, engine)) if generation == self.generation => engine,
            _ => self.copy(),
        };
        let mut decision = evaluate(&mut engine, rule, input)?;
        ENGINE.set(Some((self.generation, engine)));
        decision.policy = Some(Arc::clone(&self.digest));
        Ok(decision)
    }
}

/// An engine with the policy and `more` files.
///
/// # Errors
///
/// [`BundleFault::Faults`] with the first fault that the engine finds.
pub(super) fn compile(
    bundle: &Bundle,
    more: &BTreeMap<String, String>,
) -> Result<Engine, BundleFault> {
    let mut engine = Engine::new();
    // Swallowed errors would make a failing `deny` silent.
    engine.set_strict_builtin_errors(true);
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit: LIMIT,
        check_interval: CHECK_INTERVAL,
    });
    for (path, module) in bundle.modules().iter().chain(more) {
        engine
            .add_policy(path.clone(), module.clone())
            .map_err(|error| lint::fault(&error))?;
    }
    let data = input::json(bundle.data()).map_err(|error| lint::fault(&error))?;
    engine.add_data(data).map_err(|error| lint::fault(&error))?;
    Ok(engine)
}

/// Asks what is known: this also compiles the rules, which happens with the first question.
fn try_out(engine: &mut Engine) -> Result<(), PolicyUnavailable> {
    let answers = known_questions()
        .iter()
        .map(|question| evaluate(engine, VERDICT, question.to_value()?))
        .collect::<Result<Vec<_>, _>>()?;
    let nothing = evaluate(engine, DECISION, Value::new_object())?;
    if nothing.allow {
        return Err(PolicyUnavailable::evaluation(
            "it allows a question without content",
        ));
    }
    check_known_answers(&answers)
}

/// What operators' rules say there is to ask: types of resources, and names of actions on them.
/// None if there is no such rule, or if it is not a set of `{"type": …, "name": …}`.
pub(super) fn custom_actions(bundle: &Bundle) -> Vec<(String, String)> {
    let Ok(mut engine) = compile(bundle, &BTreeMap::new()) else {
        return Vec::new();
    };
    engine.set_input(Value::new_object());
    let Ok(Value::Set(listed)) = engine.eval_rule(ACTIONS.to_owned()) else {
        return Vec::new();
    };
    let text = |value: &Value| Some(value.as_string().ok()?.to_string());
    let pair = |action: &Value| Some((text(&action["type"])?, text(&action["name"])?));
    listed.iter().filter_map(pair).collect()
}

fn evaluate(engine: &mut Engine, rule: &str, input: Value) -> Result<Decision, PolicyUnavailable> {
    engine.set_input(input);
    let answer = engine.eval_rule(rule.to_owned()).map_err(|error| {
        match error.downcast_ref::<LimitError>() {
            Some(LimitError::TimeLimitExceeded { limit, .. }) => {
                PolicyUnavailable::TimedOut(*limit)
            }
            _ => PolicyUnavailable::evaluation(lint::fault(&error)),
        }
    })?;
    match answer {
        Value::Undefined => Err(PolicyUnavailable::Undefined),
        answer => {
            read(&answer).map_err(|error| PolicyUnavailable::InvalidAnswer(error.to_string()))
        }
    }
}

/// The decision in the engine's answer; its sets are lists to us, in their order.
fn read(answer: &Value) -> anyhow::Result<Decision> {
    let text = |value: &Value| anyhow::Ok(value.as_string()?.to_string());
    let reason = |value: &Value| {
        anyhow::Ok(Reason {
            code: text(&value["code"])?,
            message: text(&value["message"])?,
        })
    };
    Ok(Decision {
        allow: *answer["allow"].as_bool()?,
        reasons: list(&answer["reasons"], reason)?,
        matched_grants: list(&answer["matched_grants"], text)?,
        obligations: list(&answer["obligations"], |value| {
            Ok(serde_json::to_value(value)?)
        })?,
        policy: None,
    })
}

fn list<T>(value: &Value, item: impl Fn(&Value) -> anyhow::Result<T>) -> anyhow::Result<Vec<T>> {
    match value {
        Value::Set(items) => items.iter().map(item).collect(),
        other => other.as_array()?.iter().map(item).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The delivered policy, with a custom module beside it.
    fn with_custom(rules: &str) -> Bundle {
        let folder = tempfile::tempdir().unwrap();
        let delivered = Bundle::load(None).unwrap();
        let write = |path: &str, content: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        for (path, module) in delivered.modules() {
            write(path, module);
        }
        write("data/data.json", &delivered.data().to_string());
        write("policies/custom/custom.rego", rules);
        Bundle::load(Some(Path::new(folder.path()))).unwrap()
    }

    fn custom(rules: &str) -> Result<Embedded, BundleFault> {
        Embedded::new(&with_custom(&format!(
            "package gatepost.custom\n\n{rules}\n"
        )))
    }

    fn allowed() -> Input {
        let [allowed, _] = known_questions();
        allowed
    }

    #[tokio::test]
    async fn known_questions_are_answered() {
        let policy = Embedded::new(&Bundle::load(None).unwrap()).unwrap();
        policy.health().await.unwrap();
        let decision = policy.decide(&allowed()).await.unwrap();
        assert!(decision.allow);
        assert!(decision.has_reason("granted"));
        assert_eq!(decision.matched_grants, [uuid::Uuid::nil().to_string()]);
    }

    #[tokio::test]
    async fn many_questions_are_answered_in_order() {
        let policy = Embedded::new(&Bundle::load(None).unwrap()).unwrap();
        let questions: Vec<_> = (0..50).flat_map(|_| known_questions()).collect();
        let answers = policy.decide_many(&questions).await.unwrap();
        let allowed: Vec<_> = answers.iter().map(|answer| answer.allow).collect();
        assert_eq!(allowed, [true, false].repeat(50));
    }

    #[tokio::test]
    async fn an_operators_deny_wins_and_names_its_reason() {
        let policy = custom(r#"deny contains {"code": "c", "message": "m"}"#).unwrap();
        let decision = policy.decide(&allowed()).await.unwrap();
        assert!(!decision.allow);
        assert!(decision.has_reason("denied_by_rule") && decision.has_reason("custom:c"));
    }

    #[test]
    fn the_actions_of_custom_rules_are_known() {
        let of = |rules: &str| {
            custom_actions(&with_custom(&format!("package gatepost.custom\n{rules}")))
        };
        let rules = r#"actions contains {"type": "todo", "name": "read"}
actions contains {"type": 7, "name": "x"}"#;
        assert_eq!(of(rules), [("todo".to_owned(), "read".to_owned())]);
        assert!(of("").is_empty() && of("actions := 7").is_empty());
    }

    #[tokio::test]
    async fn a_deny_that_fails_is_no_yes() {
        let policy = custom(
            r#"deny contains {"code": "c", "message": "m"} if {
	input.action.name == "account:read"
	to_number(input.subject.id) > 3
}"#,
        )
        .unwrap();
        assert!(policy.decide(&allowed()).await.unwrap().allow);
        let mut question = allowed();
        question.action.name = "account:read".to_owned();
        let failure = policy.decide(&question).await.unwrap_err();
        assert_eq!(failure.code(), "policy_error");
        assert!(
            policy.decide(&allowed()).await.unwrap().allow,
            "the engine must recover"
        );
    }

    #[tokio::test]
    async fn a_rule_that_does_not_end_is_ended() {
        let policy = custom(
            r#"deny contains {"code": "c", "message": "m"} if {
	input.action.name == "account:read"
	some a in numbers.range(1, 3000)
	some b in numbers.range(1, 3000)
	a * b == 0
}"#,
        )
        .unwrap();
        let mut question = allowed();
        question.action.name = "account:read".to_owned();
        let failure = policy.decide(&question).await.unwrap_err();
        assert_eq!(failure.code(), "policy_timeout", "{failure}");
    }

    #[test]
    fn a_policy_that_is_wrong_is_refused() {
        let refused = |bundle: &Bundle| {
            matches!(
                Embedded::new(bundle),
                Err(BundleFault::Refused(_) | BundleFault::Faults(_))
            )
        };
        assert!(refused(&with_custom(
            "package gatepost.custom\n\nallow := "
        )));
        assert!(refused(&with_custom(
            "package gatepost.custom\n\nallow contains no_such_function(1)"
        )));
        let mut modules = with_custom("package gatepost.custom");
        assert!(!refused(&modules));
        modules = with_custom("package gatepost.authz\n\ndecision := {\"allow\": true}");
        assert!(refused(&modules));
    }

    #[tokio::test]
    async fn another_policy_takes_over_on_threads_that_are_warm() {
        let policy = Embedded::new(&Bundle::load(None).unwrap()).unwrap();
        let before = policy.digest();
        assert!(policy.decide(&allowed()).await.unwrap().allow);
        assert!(
            policy
                .replace(&with_custom("package gatepost.custom\n\nallow := "))
                .is_err()
        );
        assert_eq!(policy.digest(), before);
        let strict = with_custom("package gatepost.custom\n\ndeny := true");
        policy.replace(&strict).unwrap();
        assert_eq!(policy.digest().as_deref(), Some(strict.digest()));
        assert!(!policy.decide(&allowed()).await.unwrap().allow);
    }
}
