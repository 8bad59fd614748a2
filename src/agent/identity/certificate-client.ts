// Client of Istio's certificate service (istio.v1.auth.IstioCertificateService) over gRPC and TLS. The server is
// verified against the mounted roots and by its name; the caller shows its service-account token.
import { create } from "@bufbuild/protobuf";
import {
  Client,
  type ClientOptions,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { OutriggerError } from "#base/error.ts";
import {
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
} from "#wire/gen/istio/certificate-service_pb.ts";
import { createCertificateMethod } from "#wire/grpc/certificate-method.ts";

export interface CertificateClientOptions {
  /** `host:port` */
  readonly address: string;
  /** Name in the server's certificate, where it differs from the host. */
  readonly serverName?: string;
  readonly clusterId: string;
  /** Signer of the Kubernetes CSR API that is asked for; empty for the service's own choice. */
  readonly certSigner?: string;
  readonly timeoutMs: number;
}

export interface SigningRequest {
  /** PEM. */
  readonly csr: string;
  readonly ttlSeconds: number;
  readonly token: string;
  /** PEM bundle that verifies the server. */
  readonly roots: string;
}

const maxAnswerBytes = 1024 * 1024;
/** Answers that a second try will not change soon; everything else counts as not reached. */
const refusals: ReadonlySet<number> = new Set([
  status.UNAUTHENTICATED,
  status.PERMISSION_DENIED,
  status.INVALID_ARGUMENT,
  status.FAILED_PRECONDITION,
  status.UNIMPLEMENTED,
]);

/** Keeps one channel as long as the roots stay the same. */
export class CertificateClient {
  readonly #options: CertificateClientOptions;
  #channel: { readonly client: Client; readonly roots: string } | undefined;
  #call: ClientUnaryCall | undefined;

  constructor(options: CertificateClientOptions) {
    this.#options = options;
  }

  /** The chain, PEM, leaf first and root last. Throws CA_UNREACHABLE or CA_REFUSED. */
  async sign(request: SigningRequest): Promise<readonly string[]> {
    const client = this.#clientFor(request.roots);
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${request.token}`);
    metadata.set("clusterid", this.#options.clusterId);
    const { certSigner = "" } = this.#options;
    const message = create(IstioCertificateRequestSchema, {
      ...(certSigner !== "" && { metadata: { CertSigner: certSigner } }),
      csr: request.csr,
      validityDuration: BigInt(request.ttlSeconds),
    });
    const response = await new Promise<IstioCertificateResponse>((resolve, reject) => {
      const { path, requestSerialize, responseDeserialize } = createCertificateMethod;
      const deadline = Date.now() + this.#options.timeoutMs;
      this.#call = client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        message,
        metadata,
        { deadline },
        (error, value) => {
          if (error !== null) reject(this.#describe(error));
          else if (value === undefined) reject(new OutriggerError("CA_ANSWER_INVALID", "the answer is empty"));
          else resolve(value);
        },
      );
    });
    this.#call = undefined;
    return response.certChain;
  }

  /** A request under way ends with an error. */
  close(): void {
    this.#call?.cancel();
    this.#call = undefined;
    this.#channel?.client.close();
    this.#channel = undefined;
  }

  #clientFor(roots: string): Client {
    if (this.#channel?.roots === roots) return this.#channel.client;
    this.close();
    const { address, serverName } = this.#options;
    const options: ClientOptions = {
      "grpc.enable_http_proxy": 0,
      "grpc.max_receive_message_length": maxAnswerBytes,
      "grpc.initial_reconnect_backoff_ms": 200,
      "grpc.max_reconnect_backoff_ms": 5_000,
      ...(serverName !== undefined && {
        "grpc.ssl_target_name_override": serverName,
        "grpc.default_authority": serverName,
      }),
    };
    const client = new Client(address, credentials.createSsl(Buffer.from(roots)), options);
    this.#channel = { client, roots };
    return client;
  }

  #describe(error: ServiceError): OutriggerError {
    const name = status[error.code] ?? String(error.code);
    return refusals.has(error.code)
      ? new OutriggerError("CA_REFUSED", `${this.#options.address} refused the request (${name}): ${error.details}`)
      : new OutriggerError(
          "CA_UNREACHABLE",
          `no certificate from ${this.#options.address} (${name}): ${error.details}`,
        );
  }
}
