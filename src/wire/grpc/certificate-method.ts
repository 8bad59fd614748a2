// The one method of Istio's certificate service, as it is called on the wire: for the CA and for who asks it.
import type { MethodDefinition } from "@grpc/grpc-js";
import {
  type IstioCertificateRequest,
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from "../gen/istio/certificate-service_pb.ts";
import { unaryMethod } from "./service-definition.ts";

export const createCertificateMethod: MethodDefinition<IstioCertificateRequest, IstioCertificateResponse> = unaryMethod(
  "/istio.v1.auth.IstioCertificateService/CreateCertificate",
  IstioCertificateRequestSchema,
  IstioCertificateResponseSchema,
);
