// Judge: the JWS vectors of Project Wycheproof. Every invalid one is refused, every valid one that our rules allow is
// accepted.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseJws } from "./jws.ts";
import { isKeySet, parseKeySet, verifyJws } from "./key-set.ts";
import { jwtOk } from "./status.ts";

interface Group {
  readonly private: Readonly<Record<string, unknown>>;
  readonly public?: Readonly<Record<string, unknown>>;
  readonly tests: readonly { readonly tcId: number; readonly jws: unknown; readonly result: string }[];
}

const file = join(import.meta.dirname, "../../../../shared/testdata/jose/json_web_signature_test.json");
/** Their bytes are those of the valid case 357: the padding that they are about was lost in the data. */
const sameAsValid: ReadonlySet<number> = new Set([367, 370]);

/** Called valid there and refused here, with the reason. */
const strict: Readonly<Record<number, string>> = {
  259: "an empty payload is no token",
  264: "an empty payload is no token",
  268: "an empty payload is no token",
  272: "an empty payload is no token",
  320: "an empty payload is no token",
  325: "an empty payload is no token",
  346: "the key says PS256 and the token PS384",
  347: "the key's algorithm is no algorithm: ES521",
  350: "the key says PS256 and the token PS384",
  351: "the key's algorithm is no algorithm: ES521",
  372: "a character that is not of the alphabet",
  373: "a character that is not of the alphabet",
};

const skip = !existsSync(file) && "shared test data is absent";

function accepts(group: Group, token: unknown): boolean {
  const key = group.public ?? group.private;
  const keys = parseKeySet(JSON.stringify(Array.isArray(key["keys"]) ? key : { keys: [key] }));
  if (!isKeySet(keys) || typeof token !== "string") return false;
  const jws = parseJws(token);
  return "signed" in jws && verifyJws(jws, keys) === jwtOk;
}

test("every invalid JWS of Wycheproof is refused, and the valid ones are accepted", { skip }, () => {
  const { testGroups } = JSON.parse(readFileSync(file, "utf8")) as { testGroups: Group[] };
  const wronglyAccepted: number[] = [];
  const refused: number[] = [];
  for (const group of testGroups) {
    for (const { tcId, jws, result } of group.tests) {
      const accepted = accepts(group, jws);
      if (result === "invalid" && accepted && !sameAsValid.has(tcId)) wronglyAccepted.push(tcId);
      if (result === "valid" && !accepted) refused.push(tcId);
    }
  }
  assert.deepEqual(wronglyAccepted, []);
  assert.deepEqual(refused, Object.keys(strict).map(Number));
});
