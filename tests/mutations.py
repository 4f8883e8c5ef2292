"""Each law of the conformance suite, proved by a mutation that it catches.

``python -m tests.mutations`` copies ``src``, breaks the copy in one place at a time, and runs the laws that must fail. It
ends with 1 if a law passes on a mutant. ``python -m tests.mutations --table`` prints the list that CONTRIBUTING.md keeps.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "prodpointer"


@dataclass(frozen=True)
class Mutation:
    """One break: ``old`` becomes ``new`` in ``file``, and every one of ``laws`` must notice.

    ``only`` names the worlds in which it can be noticed, where that is not every one: ``"2"``, ``"before aliases"``.
    """

    what: str
    file: str
    old: str
    new: str
    laws: tuple[str, ...]
    only: str = ""


MUTATIONS = (
    Mutation(
        "an alias that is set is not read",
        "pointers/alias.py",
        "return reply.aliases.get(self._alias)",
        "return None",
        ("test_a_pointer_names_what_was_set_last",),
    ),
    Mutation(
        "a new pointer names version 1",
        "pointers/memory.py",
        "self._live: int | None = None",
        "self._live: int | None = 1",
        ("test_a_pointer_never_set_names_nothing",),
    ),
    Mutation(
        "clearing nothing is an error",
        "pointers/memory.py",
        "        self._live = None",
        "        assert self._live\n        self._live = None",
        ("test_clearing_nothing_is_no_error",),
    ),
    Mutation(
        "clearing an alias does nothing",
        "pointers/alias.py",
        "self._registry.delete_alias(self._model, self._alias)",
        "pass",
        ("test_a_cleared_pointer_names_nothing", "test_withdrawing_leaves_nothing_live"),
    ),
    Mutation(
        "memory takes any version",
        "pointers/memory.py",
        "version not in self._versions",
        "version < 0",
        ("test_a_pointer_names_no_version_that_does_not_exist",),
    ),
    Mutation(
        "clearing a stage of a missing model is silent",
        "pointers/stage.py",
        "self._registry.model(self._model)  # a search",
        "pass  # a search",
        ("test_a_pointer_of_no_model_is_refused",),
    ),
    Mutation(
        "a verb has another parameter name",
        "pointers/mirrored.py",
        "def set(self, version: int)",
        "def set(self, number: int)",
        ("test_an_implementation_has_the_signatures_of_the_protocol",),
    ),
    Mutation(
        "a stage is set without archiving the others",
        "pointers/stage.py",
        "                if version != wanted:",
        "                if False:",
        (
            "test_promoting_an_older_version_goes_back",
            "test_of_two_in_production_the_highest_is_live",
            "test_staging_is_the_stage_staging",
        ),
    ),
    Mutation(
        "both moves the alias alone",
        "pointers/mirrored.py",
        "        self._alias.set(version)\n        self._follow()",
        "        self._alias.set(version)",
        (
            "test_two_pointers_move_together",
            "test_both_makes_both",
            "test_a_stage_alone_also_gets_the_alias_on_mlflow_3",
        ),
    ),
    Mutation(
        "registering promotes",
        "registered_model.py",
        "        return self._registry.create_version(\n            self.name, source.source, run_id=run_id, model_id=source.model_id, tags=own\n        )",
        "        made = self._registry.create_version(\n            self.name, source.source, run_id=run_id, model_id=source.model_id, tags=own\n        )\n"
        "        self.promote(made)\n        return made",
        ("test_a_registered_version_is_not_live",),
    ),
    Mutation(
        "promote does not write",
        "promotion.py",
        "        self._pointer(move, look).set(number)\n        return self._done(move, look)",
        "        return move",
        (
            "test_a_promoted_version_is_live",
            "test_the_status_shows_what_is_live",
            "test_a_promotion_after_a_withdrawal_moves_the_same_pointers",
        ),
    ),
    Mutation(
        "the move forgets why",
        "promotion.py",
        'reason=readable_text(reason, "The reason"),',
        'reason="",',
        ("test_a_promotion_says_what_it_did", "test_withdrawing_leaves_nothing_live"),
    ),
    Mutation(
        "what is live is promoted again",
        "promotion.py",
        "if look.names_alone(number, pointers):",
        "if False:",
        ("test_promoting_what_is_live_moves_nothing", "test_promoting_what_is_live_costs_two_requests"),
    ),
    Mutation(
        "text is no version",
        "names.py",
        "if isinstance(version, str) and _VERSION.fullmatch(version):",
        "if False:",
        ("test_a_version_may_be_given_as_mlflow_gives_it",),
    ),
    Mutation(
        "zero and less are versions",
        "names.py",
        "if number is None or not 1 <= number < _FIRST_TOO_LARGE:",
        "if number is None:",
        ("test_what_is_no_version_is_refused",),
    ),
    Mutation(
        "expectations are not compared",
        "promotion.py",
        "if expected is NOT_GIVEN or seen.live == expected:",
        "if True:",
        ("test_a_promotion_that_expects_otherwise_is_refused",),
    ),
    Mutation(
        "an expectation is always refused",
        "promotion.py",
        "if expected is NOT_GIVEN or seen.live == expected:",
        "if expected is NOT_GIVEN:",
        ("test_a_promotion_that_expects_what_is_live_goes_on",),
    ),
    Mutation(
        "a missing version is another error",
        "mlflow_border/registry.py",
        "        no_version = VersionNotFound(",
        "        no_version = RegistryError(",
        ("test_a_version_that_does_not_exist_is_refused", "test_a_deleted_version_is_refused"),
    ),
    Mutation(
        "a version half registered goes live",
        "promotion.py",
        'if candidate.status != "READY":',
        "if False:",
        ("test_a_version_that_is_not_ready_is_refused",),
    ),
    Mutation(
        "a withdrawal is not recorded",
        "promotion.py",
        "        self._write(move)\n        self._pointer(move, look).clear()\n        return self._done(move, look)",
        "        self._pointer(move, look).clear()\n        return move",
        ("test_a_withdrawal_is_the_last_event", "test_a_promotion_after_a_withdrawal_restores_both"),
    ),
    Mutation(
        "a withdrawn alias is forgotten",
        "promotion.py",
        "        return recorded[-1] if recorded else None",
        "        return None",
        ("test_a_withdrawn_alias_comes_back_as_an_alias",),
        only="2",  # on MLflow 3 a model with neither gets an alias anyway
    ),
    Mutation(
        "withdrawing nothing is recorded",
        "promotion.py",
        '        if not pointers:\n            return replace(move, event=None, state="done")\n',
        "",
        ("test_withdrawing_nothing_moves_nothing",),
    ),
    Mutation(
        "the selection gives no reason",
        "registered_model.py",
        "            reason=reason,\n            client_version",
        "            reason='',\n            client_version",
        ("test_the_selection_has_a_reason", "test_the_models_tag_overrides"),
    ),
    Mutation(
        "a missing model is another error",
        "mlflow_border/registry.py",
        "        return ModelNotFound(",
        "        return RegistryError(",
        (
            "test_a_model_that_does_not_exist_is_no_empty_answer",
            "test_an_empty_registry_holds_no_such_model",
            "test_a_border_without_alias_methods_uses_rest",
        ),
    ),
    Mutation(
        "a model without versions is no model",
        "mlflow_border/entities.py",
        "    newest = [model_version(version) for version in model.latest_versions or []]",
        "    newest = [model_version(version) for version in model.latest_versions]\n    newest[0]",
        ("test_a_model_without_versions_has_nothing_live",),
    ),
    Mutation(
        "a model with neither gets a stage everywhere",
        "selection.py",
        "if not self.capabilities.stages or (self.capabilities.is_three and self.capabilities.aliases):",
        "if not self.capabilities.stages:",
        ("test_a_model_with_neither_gets_what_its_registry_is_made_for",),
    ),
    Mutation(
        "stages are not read where there is no alias",
        "selection.py",
        "return self.stage if alias is None else alias",
        "return alias",
        ("test_a_stage_alone_is_live_on_either_major", "test_the_stage_counts_where_the_alias_dangles"),
    ),
    Mutation(
        "the stage-only warning comes each time",
        "notices.py",
        "        _told_stage_only.add(key)\n",
        "",
        ("test_a_stage_alone_is_live_on_either_major",),
    ),
    Mutation(
        "a stage alone stays alone on MLflow 3",
        "selection.py",
        'if wanted == {"stage"} and self.capabilities.is_three and self.capabilities.aliases:',
        "if False:",
        (
            "test_a_stage_alone_also_gets_the_alias_on_mlflow_3",
            "test_promoting_the_staged_only_version_again_adds_the_alias",
        ),
    ),
    Mutation(
        "an alias alone gets a stage",
        "selection.py",
        '        pointers = tuple(pointer for pointer in ("alias", "stage") if pointer in wanted)\n',
        '        pointers = ("alias", "stage")\n',
        ("test_an_alias_alone_never_gets_a_stage", "test_a_withdrawn_alias_comes_back_as_an_alias"),
    ),
    Mutation(
        "the stage goes before the alias",
        "selection.py",
        "return self.stage if alias is None else alias",
        "return alias if self.stage is None else self.stage",
        ("test_of_two_that_differ_the_alias_is_live", "test_promoting_the_live_version_mends_a_drift"),
    ),
    Mutation(
        "a drift is not said",
        "notices.py",
        'if seen.requested in ("auto", "both") and seen.drifted:',
        "if False:",
        ("test_of_two_that_differ_the_alias_is_live",),
    ),
    Mutation(
        "a dangling alias counts",
        "selection.py",
        "alias = None if self.dangling else self.alias",
        "alias = self.alias",
        (
            "test_the_stage_counts_where_the_alias_dangles",
            "test_an_alias_whose_version_was_deleted_counts_as_unset",
        ),
        only="2",  # from 3.17.0 on an alias goes with its version
    ),
    Mutation(
        "aliases are taken to be everywhere",
        "selection.py",
        'if "alias" in pointers and not self.capabilities.aliases:',
        "if False:",
        ("test_an_impossible_pointer_is_refused_by_name", "test_an_alias_without_a_stage_is_refused"),
        only="before aliases",
    ),
    Mutation(
        "a stage is cleared of its highest version alone",
        "pointers/stage.py",
        "            for version in in_stage:",
        "            for version in in_stage[1:]:",
        ("test_withdrawing_two_in_production_leaves_none",),
    ),
    Mutation(
        "an override reads the other pointer too",
        "selection.py",
        '        if self.requested == "alias":\n            return alias\n        if self.requested == "stage":\n            return self.stage\n',
        "",
        ("test_an_override_reads_its_own_pointer",),
    ),
    Mutation(
        "an override leaves the other pointer behind",
        "selection.py",
        "if pointer not in pointers and current is not None and current != version:",
        "if False:",
        ("test_an_override_leaves_no_other_pointer_behind",),
    ),
    Mutation(
        "a dangling alias is left behind",
        "selection.py",
        'named = {"alias": None if self.dangling else self.alias, "stage": self.stage}',
        'named = {"alias": self.alias, "stage": self.stage}',
        ("test_an_override_may_leave_a_dangling_alias",),
        only="2",
    ),
    Mutation(
        "the drop-in promotes another pointer",
        "drop_in.py",
        "return connect(name, alias=alias).promote(version)",
        "return connect(name, alias='staging').promote(version)",
        ("test_the_page_that_projects_wrote_works", "test_another_pointer_has_its_own_live_version"),
    ),
    Mutation(
        "a model never registered is an error to load",
        "drop_in.py",
        "    except ModelNotFound:\n        return None",
        "    except ModelNotFound:\n        raise",
        ("test_nothing_live_is_none",),
    ),
    Mutation(
        "a promotion in a model never registered is silent",
        "mlflow_border/registry.py",
        "        return ModelNotFound(",
        "        return RegistryError(",
        ("test_promoting_in_a_model_never_registered_is_an_error",),
    ),
    Mutation(
        "what MLflow adds to a store counts",
        "artifacts.py",
        '    if "MLmodel" in found:',
        "    if False:",
        ("test_a_model_logged_with_a_flavor_loads",),
    ),
    Mutation(
        "another server's logged model is named by its id",
        "registration.py",
        "    if not store.beside_registry:  # the registry",
        "    if False:  # the registry",
        ("test_with_two_servers_a_flavor_model_is_named_by_its_run",),
        only="3",
    ),
    Mutation(
        "a path may hold anything",
        "registration.py",
        "    if _NOT_IN_URIS.search(path):",
        "    if False:",
        ("test_a_path_that_no_uri_can_carry_makes_nothing",),
    ),
    Mutation(
        "a missing library is nobody's error",
        "mlflow_border/translation.py",
        "    except ImportError as error:\n        raise RegistryUnsupported(",
        "    except ImportError as error:\n        raise RegistryError(",
        ("test_a_store_whose_library_is_missing_is_said_to_be",),
    ),
    Mutation(
        "doctor tells no limits",
        "diagnosis.py",
        "*limits(registry, found, seen.names)",
        "",
        (
            "test_a_server_before_aliases_is_said_to_have_none",
            "test_what_an_older_server_cannot_do_for_this_client_is_told",
            "test_a_server_that_does_not_tell_its_version_is_said_to",
            "test_the_limits_of_one_version_are_told",
            "test_the_end_of_a_single_file_is_told",
        ),
    ),
    Mutation(
        "doctor tells the client's version for the registry's",
        "diagnosis.py",
        "        found.shown_version,\n",
        "        None,\n",
        ("test_a_server_of_the_clients_version_is_told_as_it_is",),
    ),
    Mutation(
        "doctor asks for the version alone",
        "rights.py",
        "        if hides:\n            raise\n",
        "",
        ("test_a_server_that_refuses_all_but_its_version_is_found_out",),
    ),
    Mutation(
        "doctor ends with 1 whatever it found",
        "diagnosis.py",
        "            error.exit_code,\n            next_step",
        "            1,\n            next_step",
        ("test_a_registry_out_of_reach_is_a_finding",),
    ),
    Mutation(
        "an older client is told nothing of MLflow 3",
        "limits.py",
        "if server.major >= 3 > client.major:",
        "if server.major >= 3:",
        ("test_what_an_older_client_cannot_do_on_mlflow_three_is_told",),
    ),
    Mutation(
        "a login page is no answer",
        "mlflow_border/login.py",
        "(301, 302, 303, 307, 308, 401, 403)",
        "(401, 403)",
        ("test_a_login_that_a_gateway_wants_is_noticed",),
    ),
    Mutation(
        "the question about logins carries one",
        "mlflow_border/login.py",
        "            auth=_nobody,\n",
        "",
        ("test_the_question_about_logins_carries_none",),
    ),
    Mutation(
        "every server wants a login",
        "mlflow_border/login.py",
        'return False if "RESOURCE_DOES_NOT_EXIST" in answer.text else None',
        "return True",
        ("test_a_server_without_logins_is_told",),
    ),
    Mutation(
        "a list that is refused ends the diagnosis",
        "rights.py",
        "        if hides:\n            raise\n",
        "        raise\n",
        ("test_a_list_that_is_refused_is_told",),
    ),
    Mutation(
        "doctor tries unasked",
        "diagnosis.py",
        "[tried(registry, found)] if trying else []",
        "[tried(registry, found)]",
        ("test_looking_writes_nothing",),
    ),
    Mutation(
        "a scratch model stays",
        "rights.py",
        "            self.registry.delete_model(self.model)\n",
        "            pass\n",
        (
            "test_trying_leaves_nothing_behind",
            "test_a_right_that_is_missing_is_a_problem",
            "test_a_trial_that_fails_half_way_leaves_nothing_behind",
            "test_an_interrupted_trial_leaves_nothing_behind",
        ),
    ),
    Mutation(
        "an interrupted trial removes nothing",
        "rights.py",
        "    except BaseException as stopped:\n        if left := trial.remove():",
        "    except BaseException as stopped:\n        if left := None:",
        ("test_an_interrupted_trial_leaves_nothing_behind", "test_an_interrupted_trial_that_cannot_clean_up_says_so"),
    ),
    Mutation(
        "SIGTERM ends at once",
        "cli.py",
        "signal.signal(signal.SIGTERM, signal.default_int_handler)",
        "signal.SIG_DFL",
        ("test_an_interrupted_trial_leaves_nothing_behind",),
    ),
    Mutation(
        "what is left is not named",
        "rights.py",
        "return tuple(error for error in (self.left, self.failure) if error)",
        "return ()",
        (
            "test_a_scratch_model_that_cannot_be_removed_is_named",
            "test_a_trial_that_fails_half_way_leaves_nothing_behind",
        ),
    ),
    Mutation(
        "aliases are tried where there are none",
        "rights.py",
        "        if self.found.aliases:\n",
        "        if True:\n",
        ("test_what_there_is_not_is_not_tried",),
    ),
    Mutation(
        "a refusal is a yes",
        "rights.py",
        '            self.answers[right] = f"no ({_reason(refusal)})"\n            return False\n',
        "            pass\n",
        ("test_a_right_that_is_missing_is_a_problem", "test_where_no_model_may_be_made_nothing_else_is_tried"),
    ),
    Mutation(
        "asking moves what is live",
        "rights.py",
        "self.moves(_NO_VERSION, known_missing=(VersionNotFound,))",
        "self.moves(1, known_missing=(VersionNotFound,))",
        ("test_asking_about_a_model_changes_nothing",),
    ),
    Mutation(
        "a missing model is asked about",
        "rights.py",
        '        if self.ask("read", lambda: self.registry.model(self.model)):',
        "        if True:",
        ("test_a_model_that_does_not_exist_is_not_asked_about",),
    ),
    Mutation(
        "a screen has no end",
        "diagnosis.py",
        "LINES, COLUMNS = 24, 100",
        "LINES, COLUMNS = 99, 100",
        ("test_everything_fits_on_one_screen",),
    ),
    Mutation(
        "a line has no end",
        "diagnosis.py",
        "LINES, COLUMNS = 24, 100",
        "LINES, COLUMNS = 24, 200",
        ("test_everything_fits_on_one_screen",),
    ),
    Mutation(
        "a directory passes for a file",
        "registration.py",
        'if Path(local_path).is_dir() != (source.kind == "directory"):',
        "if False:",
        ("test_a_local_copy_of_another_kind_is_refused",),
    ),
    Mutation(
        "a model with a slash is never read",
        "registered_model.py",
        "            except ModelNotFound:\n                raise refusal from None",
        "            finally:\n                raise refusal from None",
        ("test_a_model_that_has_such_a_name_goes_on",),
        only="2",
    ),
    Mutation(
        "a gateway's answer is a page like any other",
        "detection.py",
        "        if status in (429, 502, 503, 504):",
        "        if False:",
        ("test_a_gateway_without_a_server_is_no_wrong_address",),
    ),
    Mutation(
        "a failing server is a page like any other",
        "detection.py",
        "    if status >= 500:",
        "    if False:",
        ("test_a_server_that_fails_is_no_wrong_address",),
    ),
    Mutation(
        "runs are looked for in MLflow's default",
        "mlflow_border/addresses.py",
        "    if chosen and not tracking_chosen and",
        "    if False and",
        ("test_a_registry_given_alone_makes_no_other_database",),
        only="3",  # MLflow 2 makes a directory mlruns there whatever it is told
    ),
    Mutation(
        "the selection forgets the withdrawal",
        "promotion.py",
        "return self.seen.moved(self.last.pointers if self.last else ())",
        "return self.seen.moved()",
        ("test_a_promotion_after_a_withdrawal_restores_both",),
    ),
    Mutation(
        "a pointer that was cleared is forgotten",
        "promotion.py",
        "self.seen.moved(self.last.pointers if self.last else ())",
        "self.seen.moved(self.last.pointers if self.last and self.seen.unset else ())",
        ("test_a_promotion_moves_what_the_last_one_moved",),
    ),
    Mutation(
        "a deleted version is asked for twice",
        "mlflow_border/registry.py",
        "        except VersionNotFound:\n            return None",
        "        except VersionNotFound:\n            self.model(name)\n            return None",
        ("test_a_dangling_alias_costs_no_more",),
        only="2",
    ),
    Mutation(
        "the list of models is asked first",
        "connecting.py",
        "    can = capabilities(registry)\n    return registry.names(unfiltered=lists_nothing(can))",
        "    names = registry.names()\n    capabilities(registry)\n    return names",
        ("test_a_list_of_models_asks_first_what_the_registry_is",),
    ),
    Mutation(
        "an empty list is believed",
        "connecting.py",
        "unfiltered=lists_nothing(can)",
        "unfiltered=False",
        ("test_a_list_from_a_registry_of_unknown_age_is_asked_for_without_a_filter",),
    ),
    Mutation(
        "a refused flavor model stays",
        "artifacts.py",
        "        yield path\n        if lasting",
        "        if lasting",
        ("test_a_refused_flavor_model_is_not_left_behind",),
    ),
    Mutation(
        "under both one pointer is enough",
        "registered_model.py",
        'incomplete = seen.requested == "both" and',
        "incomplete = False and",
        ("test_both_with_one_pointer_unset_disagrees",),
    ),
    Mutation(
        "the environment goes before the tag",
        "selection.py",
        '            (tags.get(POINTER_TAG), f"the model\'s tag {POINTER_TAG}"),\n',
        "",
        ("test_the_models_tag_overrides", "test_an_argument_goes_before_the_tag_and_the_tag_before_the_environment"),
    ),
    Mutation(
        "any word is a pointer",
        "selection.py",
        "    if value not in POINTERS:",
        "    if False:",
        ("test_an_override_that_is_no_pointer_is_refused",),
    ),
    Mutation(
        "aliases are read as they are spelled here",
        "selection.py",
        "if alias.lower() == rule.alias)",
        "if alias == rule.alias)",
        ("test_an_alias_set_by_others_is_moved_under_its_spelling", "test_two_spellings_at_once_are_an_error"),
    ),
    Mutation(
        "staging takes the live version",
        "promotion.py",
        'candidate.stage == "Production":',
        'candidate.stage == "Nowhere":',
        ("test_staging_never_takes_the_live_version_out_of_production",),
    ),
    Mutation(
        "production refuses the staged version",
        "promotion.py",
        'self._rule.stage == "Staging" and candidate.stage == "Production":',
        "candidate.stage:",
        ("test_the_staged_version_can_be_promoted",),
    ),
    Mutation(
        "stages= is not heeded",
        "names.py",
        "given = {key.lower(): stage for key, stage in (stages or {}).items()}",
        "given: dict[str, str] = {}",
        ("test_another_alias_can_stand_for_a_stage",),
    ),
    Mutation(
        "an alias without a stage is refused everywhere",
        "selection.py",
        '        if self.rule.stage is None:\n            return ("alias",)',
        '        if self.rule.stage is None:\n            return ("stage",)',
        ("test_an_alias_that_stands_for_no_stage_is_an_alias",),
    ),
    Mutation(
        "an alias without a stage is taken for Production",
        "selection.py",
        'if "stage" in pointers and self.rule.stage is None:',
        "if False:",
        ("test_an_override_to_a_stage_that_there_is_none_for_is_refused",),
    ),
    Mutation(
        "the digest is not compared",
        "artifacts.py",
        "    if actual != expected:",
        "    if False:",
        ("test_changed_bytes_are_never_deserialised", "test_an_added_file_is_noticed"),
    ),
    Mutation(
        "an artifact that is gone is another error",
        "mlflow_border/artifact_store.py",
        '        return ArtifactNotFound(\n            "There is no artifact there',
        '        return ProdpointerError(\n            "There is no artifact there',
        ("test_an_artifact_that_is_gone_is_said_to_be",),
    ),
    Mutation(
        "a version without a digest loads in silence",
        "registered_model.py",
        "            warn_unverified(self.name, version.version)",
        "            pass",
        ("test_a_version_registered_elsewhere_loads_with_a_warning",),
    ),
    Mutation(
        "runs:/ is left to MLflow",
        "mlflow_border/artifact_store.py",
        'if uri.startswith("runs:/"):',
        "if False:",
        ("test_a_source_written_as_a_runs_uri_loads",),
    ),
    Mutation(
        "logged models are not looked for",
        "mlflow_border/artifact_store.py",
        "            if model is not None:\n                return self.located(model.location)\n",
        "",
        ("test_a_flavor_model_registered_as_a_runs_uri_loads",),
        only="3",
    ),
    Mutation(
        "what MLflow cannot open is another error",
        "mlflow_border/registry.py",
        "        unsupported = RegistryUnsupported\n",
        "        unsupported = RegistryError\n",
        ("test_what_is_no_address_is_no_registry",),
    ),
    Mutation(
        "the caller's loader is not asked",
        "loaders.py",
        "chosen = loader or _loader_for(path, flavor)",
        "chosen = _loader_for(path, flavor)",
        ("test_the_callers_loader_gets_the_path",),
    ),
    Mutation(
        "a failing pickle is not explained",
        "loaders.py",
        'next_step=f"Registered with {_recorded(tags)}; here {_recorded(versions_here())}.",',
        "",
        ("test_a_pickle_that_raises_names_both_sides",),
    ),
    Mutation(
        "downloads stay",
        "artifacts.py",
        "        stack.callback(remove)\n",
        "",
        ("test_no_download_is_left_behind",),
    ),
    Mutation(
        "a pull copies the newest version",
        "registered_model.py",
        "        with downloaded(self._artifacts, self._artifacts.location_of(version)) as path:\n            self._verify(version, path)\n            target",
        "        version = self.version(3)\n"
        "        with downloaded(self._artifacts, self._artifacts.location_of(version)) as path:\n            self._verify(version, path)\n            target",
        ("test_a_pull_copies_the_live_artifact",),
    ),
    Mutation(
        "a pull replaces what is there",
        "registered_model.py",
        "if target.exists():",
        "if False:",
        ("test_a_pull_replaces_nothing",),
    ),
    Mutation(
        "a pull of nothing makes the directory",
        "registered_model.py",
        "        version = self.production()\n        if version is None:\n            return None\n        with downloaded(self._artifacts, self._artifacts.location_of(version)) as path:\n            self._verify(version, path)\n            target",
        "        version = self.production()\n        Path(destination).mkdir(parents=True, exist_ok=True)\n        if version is None:\n            return None\n"
        "        with downloaded(self._artifacts, self._artifacts.location_of(version)) as path:\n            self._verify(version, path)\n            target",
        ("test_a_pull_of_nothing_copies_nothing",),
    ),
    Mutation(
        "a model that exists already is an error",
        "mlflow_border/registry.py",
        'if error_code(error) not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):',
        "if True:",
        ("test_each_registration_makes_a_version",),
    ),
    Mutation(
        "the model is not made",
        "registered_model.py",
        "        self._registry.create_model(self.name)\n",
        "",
        ("test_the_first_registration_makes_the_model",),
    ),
    Mutation(
        "the source is another path of the run",
        "registration.py",
        'source = f"{run.artifact_uri}/{path}" if',
        "source = run.artifact_uri + '/elsewhere' if",
        (
            "test_a_file_and_a_directory_come_back_as_they_were",
            "test_plain_mlflow_can_download_a_registered_directory",
            "test_the_source_is_the_runs_artifact_itself",
        ),
    ),
    Mutation(
        "two servers are taken for one",
        "mlflow_border/artifact_store.py",
        "return self._tracking_uri == self._registry.addresses.registry_uri",
        "return True",
        ("test_with_two_servers_the_source_names_the_run",),
    ),
    Mutation(
        "the digest is MD5",
        "artifacts.py",
        "    digest = hashlib.sha256()\n",
        "    digest = hashlib.md5()\n",
        ("test_the_digest_of_a_file_is_its_sha256", "test_the_digest_of_a_directory_is_that_of_its_manifest"),
    ),
    Mutation(
        "a local copy is digested by its name",
        "registration.py",
        "return {DIGEST_TAG: sha256_of(Path(local_path))}",
        "return {DIGEST_TAG: Path(local_path).name}",
        ("test_a_local_copy_gives_the_same_digest",),
    ),
    Mutation(
        "a digest is recorded always",
        "registered_model.py",
        "        if digest:\n",
        "        if True:\n",
        ("test_no_digest_is_recorded_where_none_is_wanted",),
    ),
    Mutation(
        "the owner is the system's user",
        "registration.py",
        "    if named:\n        return named\n",
        "",
        ("test_a_version_says_where_it_comes_from",),
    ),
    Mutation(
        "the commit is the checkout's first",
        "registration.py",
        "commit = run.git_commit or _commit_here()",
        "commit = _commit_here() or 'none'",
        ("test_the_commit_is_the_runs_own",),
    ),
    Mutation(
        "the checkout's commit is not read",
        "registration.py",
        "or _commit_here()",
        "or None",
        ("test_the_commit_is_else_that_of_the_checkout",),
    ),
    Mutation(
        "datasets are not recorded",
        "registration.py",
        "if run.datasets:",
        "if False:",
        ("test_the_datasets_are_the_runs_own",),
    ),
    Mutation(
        "the model is made before the artifact is looked for",
        "registered_model.py",
        "        source = registration.find_source(self._artifacts, run_id, artifact_file)\n",
        "        self._registry.create_model(self.name)\n        source = registration.find_source(self._artifacts, run_id, artifact_file)\n",
        (
            "test_a_run_that_does_not_exist_makes_nothing",
            "test_an_artifact_that_does_not_exist_makes_nothing",
            "test_a_digest_or_tag_that_is_none_makes_nothing",
            "test_a_model_of_another_run_is_refused",
        ),
    ),
    Mutation(
        "any name is made",
        "names.py",
        'if "/" in name or ":" in name:',
        "if False:",
        ("test_a_model_name_that_new_mlflow_cannot_read_is_not_made",),
        only="2",  # MLflow 3.11.1 and later refuse it themselves
    ),
    Mutation(
        "a quote in a name is not heeded",
        "mlflow_border/registry.py",
        'quote = \'"\' if "\'" in name else "\'"',
        'quote = "\'"',
        ("test_an_odd_name_works_throughout",),
    ),
    Mutation(
        "flavor models are not loaded by MLflow",
        "loaders.py",
        'if (path / "MLmodel").is_file():',
        "if False:",
        ("test_a_model_logged_with_a_flavor_loads", "test_a_logged_model_is_registered_by_its_uri"),
    ),
    Mutation(
        "a file store is a registry",
        "mlflow_border/opening.py",
        "if place_of(found.registry_uri) is Place.FILES:",
        "if False:",
        ("test_a_plain_file_store_is_refused",),
    ),
    Mutation(
        "MLflow's default is a choice",
        "mlflow_border/addresses.py",
        "if not chosen and not _exists(registry):",
        "if False:",
        ("test_nothing_configured_is_said",),
    ),
    Mutation(
        "the environment is not read",
        "mlflow_border/addresses.py",
        "tracking = tracking_uri or mlflow.get_tracking_uri()",
        "tracking = tracking_uri or 'sqlite:///elsewhere.db'",
        ("test_the_environment_configures",),
    ),
    Mutation(
        "what the environment names was not chosen",
        "mlflow_border/addresses.py",
        "tracking_chosen = bool(tracking_uri or is_tracking_uri_set())",
        "tracking_chosen = bool(tracking_uri)",
        ("test_a_database_named_by_the_environment_is_made",),
    ),
    Mutation(
        "a missing database is made whatever was said",
        "mlflow_border/database.py",
        "    if empty and not create:",
        "    if False:",
        ("test_no_database_is_made_where_that_is_not_wanted",),
    ),
    Mutation(
        "any revision will do",
        "mlflow_border/database.py",
        "if empty or found == expected:",
        "if True:",
        ("test_a_database_of_another_mlflow_is_not_touched", "test_an_older_database_is_upgraded_only_when_told"),
    ),
    Mutation(
        "no connection is another error",
        "mlflow_border/translation.py",
        "        if _is_unreachable(error):",
        "        if False:",
        (
            "test_a_dead_server_is_said_to_be_within_the_timeout",
            "test_a_hanging_server_is_said_to_be_within_the_timeout",
            "test_a_host_that_does_not_exist_is_said_to_be_unreachable",
            "test_a_gateway_without_a_server_is_an_unavailable_registry",
            "test_a_registry_that_failed_is_asked_again",
        ),
    ),
    Mutation(
        "the control question is not asked",
        "detection.py",
        'if _code(text) != "RESOURCE_DOES_NOT_EXIST":',
        "if False:",
        ("test_a_wrong_path_is_no_old_server", "test_another_web_server_is_no_registry"),
    ),
    Mutation(
        "a registry without a version is an old one",
        "detection.py",
        "    return Capabilities(None, is_three, aliases, True, how)",
        "    return Capabilities(None, not is_three, aliases, True, how)",
        ("test_a_registry_that_hides_its_version_is_found_out_by_what_it_can_do",),
    ),
    Mutation(
        "a refusal is another error",
        "mlflow_border/translation.py",
        "if code in _DENIED or _http_status(error) in (401, 403):",
        "if False:",
        ("test_a_server_that_refuses_access_is_said_to",),
    ),
    Mutation(
        "a refused control question is a missing registry",
        "detection.py",
        'raise AccessDenied(\n            f"The registry refuses access: HTTP',
        'raise RegistryUnsupported(\n            f"The registry refuses access: HTTP',
        ("test_a_hidden_version_with_refused_access_is_refused",),
    ),
    Mutation(
        "credentials are shown",
        "errors.py",
        "    text = _URI.sub(_without_userinfo, text)\n",
        "",
        ("test_no_credential_is_shown",),
    ),
    Mutation(
        "codes are dropped",
        "mlflow_border/translation.py",
        "            ours.code = code or type(error).__name__\n",
        "            pass\n",
        ("test_another_answer_keeps_its_code",),
    ),
    Mutation(
        "the registry is asked each time",
        "detection.py",
        "        if known and not registry.connection_failed and",
        "        if known and False and",
        ("test_a_registry_is_asked_for_its_version_once", "test_the_live_number_costs_one_request"),
    ),
    Mutation(
        "the model is asked for twice",
        "registered_model.py",
        "        reply = self._registry.model(self.name)\n        seen = self._readable(reply)\n",
        "        self._registry.model(self.name)\n        reply = self._registry.model(self.name)\n        seen = self._readable(reply)\n",
        ("test_the_live_version_costs_two_requests",),
    ),
    Mutation(
        "the versions are asked for twice",
        "promotion.py",
        "        versions = self._registry.versions(self._name)\n",
        "        versions = self._registry.versions(self._name) and self._registry.versions(self._name)\n",
        ("test_a_status_costs_two_requests",),
    ),
    Mutation(
        "a promotion reads back twice",
        "promotion.py",
        "        self._pack(look, move)",
        "        self._pack(self.look(), move)",
        ("test_a_promotion_costs_four_requests_and_three_writes",),
    ),
    Mutation(
        "an old answer is good for ever",
        "detection.py",
        "(max_age is None or time.monotonic() - known[0] < max_age)",
        "True",
        ("test_an_upgraded_server_is_noticed_before_a_write",),
    ),
    Mutation(
        "nothing is read back",
        "promotion.py",
        "        if named != move.to_version:",
        "        if False:",
        ("test_a_promotion_that_another_overtakes_is_said_to_be_lost",),
    ),
    Mutation(
        "the JSON's aliases are dropped",
        "mlflow_border/entities.py",
        'aliases={entry["alias"]: int(entry["version"]) for entry in model.get("aliases", [])},',
        "aliases={},",
        ("test_the_json_reply_says_what_the_entity_says",),
    ),
    Mutation(
        "an alias is set over REST to version 2",
        "mlflow_border/rest.py",
        '"alias": alias, "version": version}',
        '"alias": alias, "version": "2"}',
        ("test_an_alias_set_and_deleted_over_rest_is_mlflows_own",),
    ),
    Mutation(
        "a law expects another version",
        "laws.py",
        'same("the version promoted", move.to_version, number)',
        'same("the version promoted", move.to_version, number + 1)',
        ("test_every_law_holds",),
    ),
    Mutation(
        "the experiment of a trial stays",
        "conformance.py",
        "trial.experiment.delete))",
        "lambda: None))",
        ("test_nothing_is_left_behind",),
    ),
    Mutation(
        "the row has no signs",
        "conformance.py",
        '"works": "✅"',
        '"works": "works"',
        ("test_the_row_names_both_sides", "test_the_command_prints_the_row"),
    ),
    Mutation(
        "a broken law holds",
        "laws.py",
        '            return f"{type(broken).__name__}: {broken}"',
        "            return None",
        ("test_a_registry_that_forgets_a_move_is_found_out",),
    ),
    Mutation(
        "what stays is not told",
        "conformance.py",
        '        return f"{what}: {error}"',
        "        return None",
        ("test_what_cannot_be_removed_is_named",),
    ),
    Mutation(
        "a broken law ends with 0",
        "cli.py",
        "ctx.exit(1 if found.failed or found.left else 0)",
        "ctx.exit(0)",
        ("test_the_command_fails_where_a_law_is_broken",),
    ),
    Mutation(
        "a missing run is taken to be there",
        "mlflow_border/metrics.py",
        "version.run_id, run_found=False)",
        "version.run_id, run_found=True)",
        (
            "test_a_deleted_run_is_missing",
            "test_a_run_that_never_was_is_missing",
            "test_a_version_without_a_run_has_no_evidence",
        ),
    ),
    Mutation(
        "a deleted run counts",
        "mlflow_border/metrics.py",
        'None if run.info.lifecycle_stage == "deleted" else run',
        "run",
        ("test_a_deleted_run_is_missing",),
    ),
    Mutation(
        "a run that does not exist is an error",
        "mlflow_border/metrics.py",
        "        except ArtifactNotFound:\n            return None",
        "        except ArtifactNotFound:\n            raise",
        ("test_a_run_that_never_was_is_missing",),
    ),
    Mutation(
        "a run's metrics come from elsewhere",
        "mlflow_border/metrics.py",
        'float(value), "run"',
        'float(value), "logged model"',
        ("test_the_latest_values_of_the_run_are_the_evidence",),
    ),
    Mutation(
        "NaN is a number",
        "gates.py",
        "        if math.isnan(value):",
        "        if False:",
        ("test_a_value_that_is_no_finite_number_is_recognised", "test_gates_are_judged_by_what_the_registry_says"),
    ),
    Mutation(
        "a margin is always added",
        "gates.py",
        "_DECIMAL.subtract if self._less_is_better else _DECIMAL.add",
        "_DECIMAL.add",
        ("test_gates_are_judged_by_what_the_registry_says",),
    ),
    Mutation(
        "nobody can see a run's datasets",
        "mlflow_border/metrics.py",
        "reading.datasets(run)",
        "None",
        (
            "test_the_latest_values_of_the_run_are_the_evidence",
            "test_the_datasets_of_a_run_are_known_by_their_digests",
            "test_a_servers_whole_reply_has_the_same_datasets",
            "test_gates_are_judged_by_what_the_registry_says",
            "test_runs_of_other_datasets_are_not_compared",
        ),
    ),
    Mutation(
        "no run has a dataset",
        "mlflow_border/metrics.py",
        "reading.datasets(run)",
        "frozenset()",
        ("test_an_old_client_guesses_no_datasets",),
    ),
    Mutation(
        "a dataset is known by its name",
        "mlflow_border/metrics.py",
        "str(entry.dataset.digest)",
        "str(entry.dataset.name)",
        ("test_the_datasets_of_a_run_are_known_by_their_digests", "test_a_servers_whole_reply_has_the_same_datasets"),
        only="3",  # clients before 2.4.0 know no datasets
    ),
    Mutation(
        "any two datasets are the same",
        "gates.py",
        "    if ours == theirs:",
        "    if True:",
        ("test_runs_of_other_datasets_are_not_compared",),
        only="3",  # before 2.4.0 there is nothing to tell them apart
    ),
    Mutation(
        "a logged model is not asked",
        "mlflow_border/metrics.py",
        "    if lacking and model:",
        "    if False:",
        (
            "test_what_the_run_has_not_the_logged_model_has",
            "test_the_newest_measurement_counts_with_its_own_dataset",
            "test_a_measurement_without_a_dataset_has_its_runs",
            "test_a_logged_models_zero_is_zero",
        ),
        only="3",
    ),
    Mutation(
        "a logged model goes before the run",
        "mlflow_border/metrics.py",
        "set(wanted) - found.keys()",
        "set(wanted)",
        ("test_the_run_comes_first",),
        only="3",
    ),
    Mutation(
        "a logged model is read whole",
        "mlflow_border/metrics.py",
        "            if metric.key in wanted:",
        "            if True:",
        ("test_only_wanted_metrics_are_read",),
        only="3",
    ),
    Mutation(
        "the highest step is the newest",
        "mlflow_border/metrics.py",
        "key=lambda each: (each.timestamp, each.step)",
        "key=lambda each: (each.step, each.timestamp)",
        ("test_the_newest_measurement_counts_with_its_own_dataset",),
        only="3",
    ),
    Mutation(
        "an evaluation was on no dataset",
        "mlflow_border/metrics.py",
        "None if run is None else self.datasets(run)",
        "frozenset()",
        (
            "test_a_measurement_without_a_dataset_has_its_runs",
            "test_a_zero_that_nobody_can_confirm_is_nan",
        ),
        only="3",
    ),
    Mutation(
        "a logged model's zero is believed",
        "mlflow_border/metrics.py",
        "        if value != 0:",
        "        if True:",
        ("test_a_logged_models_nan_is_nan", "test_a_zero_that_nobody_can_confirm_is_nan"),
        only="3",
    ),
    Mutation(
        "a NaN of any step makes a zero NaN",
        "mlflow_border/metrics.py",
        "if (each.timestamp, each.step) == (metric.timestamp, metric.step)",
        "",
        ("test_a_logged_models_zero_is_zero",),
        only="3",
    ),
    Mutation(
        "the largest finite number is no infinity",
        "gates.py",
        "if abs(value) >= sys.float_info.max:",
        "if math.isinf(value):",
        ("test_a_logged_models_infinity_is_infinite",),
        only="3",
    ),
    Mutation(
        "a deleted logged model is an error",
        "mlflow_border/metrics.py",
        '("RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND")',
        "()",
        ("test_a_deleted_logged_model_measures_nothing",),
        only="3",
    ),
    Mutation(
        "a move stays an intent",
        "promotion.py",
        "        self._write(move)\n        self._pack(look, move)",
        "        self._pack(look, move)",
        (
            "test_each_move_is_an_event",
            "test_rolling_back_twice_goes_two_back",
            "test_what_was_live_at_a_time_is_told",
        ),
    ),
    Mutation(
        "a withdrawal is recorded with version 1",
        "promotion.py",
        "event.from_version if event.to_version is None else event.to_version",
        "event.to_version or 1",
        ("test_an_event_belongs_to_the_version_that_went_live",),
    ),
    Mutation(
        "a promotion of what is live is recorded",
        "promotion.py",
        "        if look.names_alone(number, pointers):\n",
        "        if look.names_alone(number, pointers):\n            self._write(replace(move, state='done'))\n",
        ("test_promoting_what_is_live_is_no_event",),
    ),
    Mutation(
        "version 1 was live where nothing is recorded",
        "registered_model.py",
        "if look.moves else look.seen.live",
        "if look.moves else 1",
        ("test_a_model_that_nobody_promoted_has_no_history",),
    ),
    Mutation(
        "a rollback goes to the lowest number",
        "promotion.py",
        "            return before[-1]",
        "            return min(before)",
        (
            "test_rolling_back_goes_to_what_was_live_before",
            "test_rolling_back_twice_goes_two_back",
            "test_rolling_back_a_withdrawal_restores",
            "test_a_deleted_predecessor_is_refused_with_the_next_candidate",
            "test_every_pointer_tells_one_story",
        ),
    ),
    Mutation(
        "a rollback takes nothing off",
        "journal.py",
        "        if move.to_version == found[-1]:",
        '        if move.kind == "rollback":',
        (
            "test_rolling_back_twice_goes_two_back",
            "test_a_promotion_after_a_rollback_is_the_new_end",
            "test_a_version_can_be_named_to_go_back_to",
        ),
    ),
    Mutation(
        "a rollback does not tell what it moved",
        "promotion.py",
        'return self.promote(target, expected=expected, reason=reason, by=by, kind="rollback")',
        'return replace(self.promote(target, expected=expected, reason=reason, by=by, kind="rollback"), pointers=())',
        ("test_rolling_back_moves_the_same_pointers",),
    ),
    Mutation(
        "a rollback moves one pointer alone",
        "promotion.py",
        "        pointers, _ = look.pointers\n",
        '        pointers = look.pointers[0][:1] if kind == "rollback" else look.pointers[0]\n',
        ("test_rolling_back_moves_the_same_pointers", "test_rolling_back_a_withdrawal_restores"),
        only="3",  # before aliases there is one pointer
    ),
    Mutation(
        "moves by others after the last are not seen",
        "journal.py",
        "    if found and found[-1].to_version != live:",
        "    if False:",
        ("test_a_move_by_others_is_shown_as_unrecorded",),
    ),
    Mutation(
        "every model is taken to have a record",
        "promotion.py",
        ' if look.recorded else "no promotion was recorded"',
        "",
        ("test_a_model_promoted_before_there_was_a_record_is_refused",),
    ),
    Mutation(
        "no candidate is named",
        "promotion.py",
        'f"The next candidate is version {candidates[-1]}: name it" if candidates else ',
        "",
        ("test_a_deleted_predecessor_is_refused_with_the_next_candidate",),
    ),
    Mutation(
        "what to go back to is not looked at",
        "promotion.py",
        "        self._check_usable(target, look)\n",
        "",
        (
            "test_a_deleted_predecessor_is_refused_with_the_next_candidate",
            "test_a_predecessor_without_its_artifact_is_refused",
            "test_going_back_to_a_version_that_does_not_exist_is_refused",
        ),
    ),
    Mutation(
        "a rollback heeds no expectation",
        "promotion.py",
        "        if expected is NOT_GIVEN:",
        "        if True:",
        ("test_a_rollback_with_another_expectation_is_refused",),
    ),
    Mutation(
        "what was live last was live at any time",
        "journal.py",
        "[move for move in moves if move.at <= when]",
        "list(moves)",
        ("test_what_was_live_at_a_time_is_told",),
    ),
    Mutation(
        "a deleted version is told as nothing",
        "registered_model.py",
        "look.version(number) or self.version(number)",
        "look.version(number)",
        ("test_a_version_that_was_live_and_deleted_is_said_to_be",),
    ),
    Mutation(
        "all pointers have one history",
        "promotion.py",
        " if event.alias == self.seen.rule.alias]",
        "]",
        ("test_two_pointers_have_two_histories",),
    ),
    Mutation(
        "a repair leaves intents",
        "promotion.py",
        '            if event.state == "intended":',
        "            if False:",
        ("test_a_stopped_promotion_leaves_its_intent",),
    ),
    Mutation(
        "a repair leaves the stage",
        "promotion.py",
        " + self._mend_stage(look)",
        "",
        ("test_a_repair_makes_the_stage_follow_the_alias",),
    ),
    Mutation(
        "pointers never agree",
        "registered_model.py",
        "agreed=not (seen.dangling or seen.drifted or incomplete or len(look.in_stage) > 1)",
        "agreed=False",
        (
            "test_rolling_back_moves_the_same_pointers",
            "test_a_repair_makes_the_stage_follow_the_alias",
            "test_a_repair_moves_an_alias_off_a_deleted_version",
        ),
    ),
    Mutation(
        "a repair leaves the alias",
        "promotion.py",
        "self._mend_alias(look) + ",
        "",
        ("test_a_repair_moves_an_alias_off_a_deleted_version",),
        only="2",  # from 3.17.0 on an alias goes with its version
    ),
    Mutation(
        "gates are not judged",
        "promotion.py",
        "self._judged(candidate, look, gates, across_datasets=across_datasets) if gates else ()",
        "()",
        (
            "test_a_better_version_goes_live_with_its_evidence",
            "test_a_version_that_does_not_pass_stays_out",
            "test_the_first_promotion_has_absolute_gates_alone",
            "test_the_command_line_ends_with_3",
        ),
    ),
    Mutation(
        "gates are not read before anything is looked at",
        "gate_text.py",
        "each if isinstance(each, Gate) else parse_gate(each) for each in given",
        "each for each in given",
        ("test_a_gate_that_says_nothing_is_refused",),
    ),
    Mutation(
        "a registration tried again makes a second version",
        "registered_model.py",
        'if if_exists == "reuse" and',
        'if if_exists == "never" and',
        ("test_a_registration_tried_again_makes_no_second_version",),
    ),
    Mutation(
        "the drop-in rollback goes nowhere",
        "drop_in.py",
        "return connect(name, alias=alias).rollback()",
        "return connect(name, alias=alias).history()[-1]",
        ("test_rolling_back_goes_to_the_one_before",),
    ),
    Mutation(
        "a list over REST ends with its first page",
        "mlflow_border/rest.py",
        '            if not page.get("next_page_token"):',
        "            if True:",
        ("test_the_list_over_rest_is_the_clients_own",),
    ),
    Mutation(
        "nothing is packed",
        "promotion.py",
        "        self._pack(look, move)\n",
        "",
        ("test_a_version_that_goes_live_often_keeps_its_record_small",),
    ),
    Mutation(
        "the option of a call is an option of each gate",
        "registered_model.py",
        "gates=gates_of(gates),",
        "gates=[replace(gate, across_datasets=across_datasets) for gate in gates_of(gates)],",
        ("test_the_option_of_the_call_is_for_gates_that_compare",),
    ),
    Mutation(
        "what is left of bytes passes for text",
        "names.py",
        'if any("\\ud800" <= character <= "\\udfff" for character in text):',
        "if False:",
        (
            "test_a_name_is_taken_or_refused",
            "test_a_tag_is_taken_or_refused",
            "test_a_reason_is_kept_or_refused",
            "test_a_command_ends_with_an_exit_code",
        ),
    ),
    Mutation(
        "a tag's name may lead elsewhere",
        "registration.py",
        "leads_elsewhere = as_path != key",
        "leads_elsewhere = False  # as_path != key",
        ("test_a_tag_is_taken_or_refused",),
    ),
    Mutation(
        "any text is an alias",
        "names.py",
        "if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):",
        "if not isinstance(alias, str):",
        ("test_an_alias_is_taken_or_refused",),
        only="3",  # before aliases there is none to take
    ),
    Mutation(
        "True is a version",
        "names.py",
        "isinstance(version, int) and not isinstance(version, bool)",
        "isinstance(version, int)",
        ("test_a_version_is_taken_or_refused", "test_what_is_no_version_is_refused"),
    ),
    Mutation(
        "a path is not looked for",
        "registration.py",
        "    if kind is not None:",
        "    if True:",
        ("test_a_path_is_found_or_not",),
    ),
)


def survivors(mutation: Mutation, directory: Path) -> list[str]:
    """Return the laws that pass on a mutant, although they must not."""
    copy = directory / "prodpointer"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(SOURCE, copy)
    broken = copy / mutation.file
    text = broken.read_text(encoding="utf-8")
    broken.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "tests/conformance"]
    environment = {**os.environ, "PYTHONPATH": str(directory)}
    chosen = ["-k", " or ".join(mutation.laws)]
    done = subprocess.run([*command, *chosen], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    failed = {line.split("::")[1].split("[")[0].split(" ")[0] for line in done.stdout.splitlines() if "FAILED" in line}
    return [law for law in mutation.laws if law not in failed]


def world() -> tuple[str, ...]:
    """Return the worlds that the MLflow at hand belongs to."""
    from mlflow.version import VERSION

    before = ("before aliases",) if tuple(map(int, VERSION.split(".")[:2])) < (2, 3) else ()
    return (VERSION.split(".")[0], *before)


def table() -> str:
    """Return the list as CONTRIBUTING.md keeps it."""
    lines = ["| mutation | in | caught by |", "| --- | --- | --- |"]
    for mutation in MUTATIONS:
        laws = ", ".join(f"`{law}`" for law in mutation.laws)
        where = f" (MLflow {mutation.only})" if mutation.only else ""
        lines.append(f"| {mutation.what}{where} | `{mutation.file}` | {laws} |")
    return "\n".join(lines)


def chosen_by(arguments: list[str], mutation: Mutation) -> bool:
    """Tell whether a mutation is to be tried: all are, unless words of some were given."""
    return not arguments or any(word in mutation.what for word in arguments)


def main(arguments: list[str]) -> int:
    """Try every mutation, or print the list."""
    if arguments == ["--table"]:
        print(table())
        return 0
    survived = 0
    with tempfile.TemporaryDirectory() as scratch:
        for mutation in MUTATIONS:
            if (mutation.only and mutation.only not in world()) or not chosen_by(arguments, mutation):
                continue
            found = survivors(mutation, Path(scratch))
            survived += len(found)
            print(
                f"{'SURVIVED' if found else 'caught'}: {mutation.what}{': ' + ', '.join(found) if found else ''}",
                flush=True,
            )
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
