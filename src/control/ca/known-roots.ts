// Which roots workloads were told to trust, kept in a Secret beside the CA's own: a control plane that starts again
// after its CA was replaced goes on trusting what the CA before has signed, until that has ended.
import { hasCode } from "#base/error.ts";
import { catalogKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";

export interface KnownRoot {
  /** PEM. */
  readonly certificate: string;
  /** Until when it is trusted beside others; absent for those of the CA itself. */
  readonly untilMs?: number;
}

export interface RootMemory {
  load(): Promise<readonly KnownRoot[]>;
  /** Adds to what is there; what has ended by now is forgotten. */
  save(roots: readonly KnownRoot[], nowMs: number): Promise<void>;
}

export const knownRootsSecretName = "outrigger-ca-roots";
const key = "roots.json";
const secrets = catalogKind("v1", "Secret");
const maxTries = 3;
/** More roots than a rotation of every day needs; of more the latest count. */
const maxRoots = 16;

export class SecretRootMemory implements RootMemory {
  readonly #client: KubernetesClient;
  readonly #namespace: string;
  #saving: Promise<void> = Promise.resolve();

  constructor(client: KubernetesClient, namespace: string) {
    this.#client = client;
    this.#namespace = namespace;
  }

  async load(): Promise<readonly KnownRoot[]> {
    return readRoots(await this.#find());
  }

  save(roots: readonly KnownRoot[], nowMs: number): Promise<void> {
    const saved = this.#saving.then(() => this.#save(roots, nowMs));
    this.#saving = saved.catch(() => {
      // Told to the caller; the next one begins anew.
    });
    return saved;
  }

  async #save(roots: readonly KnownRoot[], nowMs: number): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#saveOnce(roots, nowMs);
        return;
      } catch (error) {
        // Another replica was quicker: its roots are added to.
        const isRace = hasCode(error, "API_CONFLICT") || hasCode(error, "API_ALREADY_EXISTS");
        if (!isRace || attempt === maxTries) throw error;
      }
    }
  }

  async #saveOnce(roots: readonly KnownRoot[], nowMs: number): Promise<void> {
    const stored = await this.#find();
    const before = readRoots(stored);
    const names = new Set(roots.map(({ certificate }) => certificate));
    const all = [...before.filter(({ certificate }) => !names.has(certificate)), ...roots]
      .filter(({ untilMs }) => untilMs === undefined || untilMs > nowMs)
      .slice(-maxRoots);
    if (JSON.stringify(all) === JSON.stringify(before)) return;
    const data = { [key]: Buffer.from(JSON.stringify(all)).toString("base64") };
    if (stored !== undefined) {
      await this.#client.update(secrets, { ...stored, data });
      return;
    }
    await this.#client.create(secrets, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: knownRootsSecretName, namespace: this.#namespace },
      type: "istio.io/ca-root",
      data,
    });
  }

  #find(): Promise<KubernetesObject | undefined> {
    return this.#client.find(secrets, { name: knownRootsSecretName, namespace: this.#namespace });
  }
}

function readRoots(secret: KubernetesObject | undefined): KnownRoot[] {
  const data = secret?.["data"] as Readonly<Record<string, unknown>> | null | undefined;
  const text = data?.[key];
  if (typeof text !== "string") return [];
  try {
    const parsed: unknown = JSON.parse(Buffer.from(text, "base64").toString("utf8"));
    return Array.isArray(parsed) ? parsed.flatMap(readRoot) : [];
  } catch {
    // Somebody else's content: it is written anew.
    return [];
  }
}

function readRoot(entry: unknown): KnownRoot[] {
  const { certificate, untilMs } = (entry ?? {}) as { certificate?: unknown; untilMs?: unknown };
  if (typeof certificate !== "string") return [];
  return [{ certificate, ...(typeof untilMs === "number" && { untilMs }) }];
}
