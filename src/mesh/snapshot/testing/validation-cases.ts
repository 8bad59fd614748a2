// For tests: Istio's own validation data, as far as it is about kinds that are read.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseYamlDocuments } from "../../objects/yaml.ts";
import { decodableKinds, kindKey } from "../decodable-kinds.ts";

const folder = join(import.meta.dirname, "../../../../../shared/testdata");
export const withoutTestdata: { readonly skip?: string } = existsSync(folder) ? {} : { skip: `${folder} is not there` };

export interface ValidationCase {
  readonly id: string;
  readonly input: { readonly yaml: string };
  readonly expect: { readonly valid: boolean };
}

/** Cases that we answer differently, with the reason. */
const exceptions: ReadonlyMap<string, string> = new Map([
  ["validation-crd/reqauth-valid/0-full", "presence is a field that came after Istio 1.31"],
  [
    "validation-crd/serviceentry-valid/0-full",
    "an address is an object by a slip of indentation; the API server prunes it, we say so",
  ],
]);

export const validationFiles: readonly string[] = ["validation-crd.json", "validation-dataset.json"];

export function validationCases(file: string): ValidationCase[] {
  const { cases } = JSON.parse(readFileSync(join(folder, file), "utf8")) as { cases: ValidationCase[] };
  return cases.filter(({ id, input }) => {
    const [first] = parseYamlDocuments("case.yaml", input.yaml).objects;
    const isRead = first === undefined || decodableKinds.has(kindKey(first.object.apiVersion, first.object.kind));
    return isRead && !exceptions.has(id);
  });
}
