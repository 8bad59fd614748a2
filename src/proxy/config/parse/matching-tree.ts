// Envoy's matching trees (xds.type.matcher.v3.Matcher), compiled to one function: lists of predicates, and trees by exact
// value, by prefix, by address block and by server name. What the inputs read and what an action is, is the owner's. A
// match whose own tree finds nothing counts as no match, and the search goes on.
import type { Any } from "@bufbuild/protobuf/wkt";
import { parseAddress } from "#base/net/address-bytes.ts";
import { cidrMap } from "#base/net/cidr-map.ts";
import { IpSchema } from "#wire/gen/envoy/extensions/matching/input_matchers/ip/v3/ip_pb.ts";
import type { TypedExtensionConfig } from "#wire/gen/xds/core/v3/extension_pb.ts";
import { ServerNameMatcherSchema } from "#wire/gen/xds/type/matcher/v3/domain_pb.ts";
import { IPMatcherSchema } from "#wire/gen/xds/type/matcher/v3/ip_pb.ts";
import type {
  Matcher,
  Matcher_MatcherTree as MatcherTree,
  Matcher_OnMatch as OnMatch,
  Matcher_MatcherList_Predicate as Predicate,
  Matcher_MatcherList_Predicate_SinglePredicate as SinglePredicate,
} from "#wire/gen/xds/type/matcher/v3/matcher_pb.ts";
import type { StringMatcher as XdsStringMatcher } from "#wire/gen/xds/type/matcher/v3/string_pb.ts";
import type { Problems } from "../problems.ts";
import { literalMatcher, regexMatcher, wireText } from "./matcher.ts";
import { decodeRange, typeName, unpack } from "./values.ts";

/** Reads a value of what is matched; undefined when it is not there, and nothing matches it. */
export type TreeInput<F> = (facts: F) => string | undefined;
/** Null: nothing matched. */
export type MatchingTree<F, A> = (facts: F) => A | null;

/** What a tree is over. Both answer null for an extension that they do not know; the tree tells the problem. */
export interface TreeKind<F, A> {
  readonly input: (any: Any, path: string, problems: Problems) => TreeInput<F> | null;
  readonly action: (any: Any, path: string, problems: Problems) => A | null;
  /** A predicate whose matcher reads more than one value. Null: not one of these. */
  readonly predicate?: (input: Any, matcher: Any, path: string, problems: Problems) => ((facts: F) => boolean) | null;
}

/** Deeper trees are refused: nobody writes them by hand, and a stack is finite. */
const maxDepth = 32;

export function decodeMatchingTree<F, A>(
  matcher: Matcher,
  kind: TreeKind<F, A>,
  path: string,
  problems: Problems,
): MatchingTree<F, A> {
  return new TreeDecoder(kind, problems).matcher(matcher, path, 0);
}

class TreeDecoder<F, A> {
  readonly #kind: TreeKind<F, A>;
  readonly #problems: Problems;

  constructor(kind: TreeKind<F, A>, problems: Problems) {
    this.#kind = kind;
    this.#problems = problems;
  }

  matcher(matcher: Matcher, path: string, depth: number): MatchingTree<F, A> {
    if (depth > maxDepth) {
      this.#problems.invalid(path, `the tree is deeper than ${maxDepth}`);
      return () => null;
    }
    const type = matcher.matcherType;
    const otherwise = this.#onMatch(matcher.onNoMatch, `${path}.on_no_match`, depth);
    let main: MatchingTree<F, A> = () => null;
    if (type.case === "matcherList") {
      main = firstOf(
        type.value.matchers.map((entry, i) => {
          const where = `${path}.matcher_list.matchers[${i}]`;
          const test = this.#predicate(entry.predicate, `${where}.predicate`, depth);
          const next = this.#onMatch(entry.onMatch, `${where}.on_match`, depth);
          return (facts) => (test(facts) ? next(facts) : null);
        }),
      );
    } else if (type.case === "matcherTree") {
      main = this.#tree(type.value, `${path}.matcher_tree`, depth);
    }
    return matcher.onNoMatch === undefined ? main : (facts) => main(facts) ?? otherwise(facts);
  }

  #onMatch(onMatch: OnMatch | undefined, path: string, depth: number): MatchingTree<F, A> {
    const choice = onMatch?.onMatch;
    if (choice?.case === "matcher") return this.matcher(choice.value, `${path}.matcher`, depth + 1);
    if (choice?.case !== "action") return () => null;
    const any = choice.value.typedConfig;
    const where = `${path}.action`;
    const action = any === undefined ? null : this.#kind.action(any, where, this.#problems);
    if (action === null) this.#problems.unsupported(where, `the action ${typeName(any)}`);
    return () => action;
  }

  #predicate(predicate: Predicate | undefined, path: string, depth: number): (facts: F) => boolean {
    if (depth > maxDepth) {
      this.#problems.invalid(path, `the tree is deeper than ${maxDepth}`);
      return () => false;
    }
    const type = predicate?.matchType;
    switch (type?.case) {
      case "singlePredicate":
        return this.#single(type.value, `${path}.single_predicate`);
      case "orMatcher":
      case "andMatcher": {
        const tests = type.value.predicate.map((it, i) => this.#predicate(it, `${path}.predicate[${i}]`, depth + 1));
        return type.case === "orMatcher"
          ? (facts) => tests.some((test) => test(facts))
          : (facts) => tests.every((test) => test(facts));
      }
      case "notMatcher": {
        const test = this.#predicate(type.value, `${path}.not_matcher`, depth + 1);
        return (facts) => !test(facts);
      }
      default:
        this.#problems.invalid(path, "names no predicate");
        return () => false;
    }
  }

  #single(predicate: SinglePredicate, path: string): (facts: F) => boolean {
    const input = predicate.input?.typedConfig;
    const custom = predicate.matcher.case === "customMatch" ? predicate.matcher.value.typedConfig : undefined;
    if (input !== undefined && custom !== undefined) {
      const special = this.#kind.predicate?.(input, custom, `${path}.custom_match`, this.#problems) ?? null;
      if (special !== null) return special;
    }
    const read = this.#input(predicate.input, `${path}.input`);
    const matcher = predicate.matcher;
    const test =
      matcher.case === "valueMatch"
        ? this.#value(matcher.value, `${path}.value_match`)
        : this.#custom(matcher.case === "customMatch" ? matcher.value.typedConfig : undefined, `${path}.custom_match`);
    return (facts) => {
      const value = read(facts);
      return value !== undefined && test(value);
    };
  }

  #value(matcher: XdsStringMatcher, path: string): (value: string) => boolean {
    const pattern = matcher.matchPattern;
    if (pattern.case === "safeRegex") return regexMatcher(wireText(pattern.value.regex), path, this.#problems).matches;
    if (pattern.case !== undefined) {
      return literalMatcher(pattern.case, pattern.value, matcher.ignoreCase, wireText).matches;
    }
    this.#problems.invalid(path, "names no pattern");
    return () => false;
  }

  #custom(any: Any | undefined, path: string): (value: string) => boolean {
    const ip = any !== undefined && typeName(any) === IpSchema.typeName && unpack(any, IpSchema, path, this.#problems);
    if (!ip) {
      this.#problems.unsupported(path, `the input matcher ${typeName(any)}`);
      return () => false;
    }
    const ranges = ip.cidrRanges.map((range, i) => decodeRange(range, `${path}.cidr_ranges[${i}]`, this.#problems));
    const map = cidrMap(
      ranges,
      (range) => [range],
      () => true,
    );
    return (value) => map.find(value) === true;
  }

  #input(config: TypedExtensionConfig | undefined, path: string): TreeInput<F> {
    const any = config?.typedConfig;
    const input = any === undefined ? null : this.#kind.input(any, path, this.#problems);
    if (input !== null) return input;
    this.#problems.unsupported(path, `the input ${typeName(any)}`);
    return () => undefined;
  }

  #tree(tree: MatcherTree, path: string, depth: number): MatchingTree<F, A> {
    const read = this.#input(tree.input, `${path}.input`);
    const type = tree.treeType;
    switch (type.case) {
      case "exactMatchMap": {
        const map = new Map(
          Object.entries(type.value.map).map(([key, next]) => [
            key,
            this.#onMatch(next, `${path}.exact_match_map["${key}"]`, depth),
          ]),
        );
        return (facts) => map.get(read(facts) ?? "\0")?.(facts) ?? null;
      }
      case "prefixMatchMap": {
        const entries = Object.entries(type.value.map)
          .map(([key, next]) => ({ key, next: this.#onMatch(next, `${path}.prefix_match_map["${key}"]`, depth) }))
          .sort((a, b) => b.key.length - a.key.length);
        return firstOf(
          entries.map(
            ({ key, next }) =>
              (facts) =>
                read(facts)?.startsWith(key) === true ? next(facts) : null,
          ),
        );
      }
      case "customMatch":
        return this.#customTree(type.value.typedConfig, read, `${path}.custom_match`, depth);
      default:
        this.#problems.invalid(path, "names no map");
        return () => null;
    }
  }

  #customTree(any: Any | undefined, read: TreeInput<F>, path: string, depth: number): MatchingTree<F, A> {
    if (any !== undefined && typeName(any) === IPMatcherSchema.typeName) return this.#ips(any, read, path, depth);
    if (any !== undefined && typeName(any) === ServerNameMatcherSchema.typeName) {
      return this.#names(any, read, path, depth);
    }
    this.#problems.unsupported(path, `the tree ${typeName(any)}`);
    return () => null;
  }

  /** The longest block first; wider blocks follow when it finds nothing, unless it is exclusive. */
  #ips(any: Any, read: TreeInput<F>, path: string, depth: number): MatchingTree<F, A> {
    const matcher = unpack(any, IPMatcherSchema, path, this.#problems);
    const blocks = (matcher?.rangeMatchers ?? []).flatMap((entry, i) => {
      const next = this.#onMatch(entry.onMatch, `${path}.range_matchers[${i}].on_match`, depth);
      return entry.ranges.map((range, k) => {
        const text = decodeRange(range, `${path}.range_matchers[${i}].ranges[${k}]`, this.#problems);
        const map = cidrMap(
          [text],
          () => [text],
          () => true,
        );
        return { bits: Number(text.split("/")[1]), contains: map.find, isExclusive: entry.exclusive, next };
      });
    });
    blocks.sort((a, b) => b.bits - a.bits);
    return (facts) => {
      const address = read(facts);
      if (address === undefined || parseAddress(address) === null) return null;
      for (const block of blocks) {
        if (block.contains(address) !== true) continue;
        const found = block.next(facts);
        if (found !== null || block.isExclusive) return found;
      }
      return null;
    };
  }

  /** The exact name, then wildcards from the longest to `*`. */
  #names(any: Any, read: TreeInput<F>, path: string, depth: number): MatchingTree<F, A> {
    const matcher = unpack(any, ServerNameMatcherSchema, path, this.#problems);
    const byDomain = new Map<string, MatchingTree<F, A>>();
    matcher?.domainMatchers.forEach((entry, i) => {
      const where = `${path}.domain_matchers[${i}]`;
      const next = this.#onMatch(entry.onMatch, `${where}.on_match`, depth);
      for (const domain of entry.domains) {
        if (domain !== "*" && domain.replace(/^\*\./, "").includes("*")) {
          this.#problems.invalid(`${where}.domains`, `"${domain}" may have a star only as its first label`);
        }
        if (byDomain.has(domain)) this.#problems.invalid(`${where}.domains`, `"${domain}" stands twice`);
        byDomain.set(domain.toLowerCase(), next);
      }
    });
    return (facts) => {
      const name = read(facts);
      if (name === undefined) return null;
      let found = byDomain.get(name)?.(facts) ?? null;
      for (let dot = name.indexOf(".", 1); found === null && dot !== -1; dot = name.indexOf(".", dot + 1)) {
        found = byDomain.get(`*${name.slice(dot)}`)?.(facts) ?? null;
      }
      return found ?? byDomain.get("*")?.(facts) ?? null;
    };
  }
}

function firstOf<F, A>(trees: readonly MatchingTree<F, A>[]): MatchingTree<F, A> {
  return (facts) => {
    for (const tree of trees) {
      const found = tree(facts);
      if (found !== null) return found;
    }
    return null;
  };
}
