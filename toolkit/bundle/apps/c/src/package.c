#include "package.h"

#include <stdio.h>
#include <string.h>

/* The model-package functions in the order of ONNX Runtime 1.31's OrtModelPackageApi. There they
 * are a stable table; 1.28 to 1.30 have the same functions as experimental ones, looked up by
 * name. The headers at hand are those of 1.29, so the declarations used are repeated here. */
typedef struct PackageOptions PackageOptions;
typedef struct PackageContext PackageContext;
typedef struct ComponentContext ComponentContext;
typedef OrtExperimentalFnPtr Unused;

typedef struct PackageApi {
  OrtStatus *(*CreateOptions)(const OrtEnv *, const OrtSessionOptions *, PackageOptions **);
  void (*ReleaseOptions)(PackageOptions *);
  OrtStatus *(*CreateContext)(const char *package_root, PackageContext **);
  void (*ReleaseContext)(PackageContext *);
  Unused GetSchemaVersion, GetComponentCount, GetComponentNames, GetVariantCount, GetVariantNames,
      GetVariantEpName, ResolveStringRef;
  OrtStatus *(*SelectComponent)(const PackageContext *, const char *component,
                                const PackageOptions *, ComponentContext **);
  void (*ReleaseComponent)(ComponentContext *);
  OrtStatus *(*GetSelectedVariantName)(const ComponentContext *, const char **name);
  Unused GetSelectedVariantFolderPath;
  OrtStatus *(*CreateSession)(const OrtEnv *, ComponentContext *, const OrtSessionOptions *,
                              OrtSession **);
} PackageApi;

/* OrtApi only ever grows at its end, so the place of GetModelPackageApi in 1.31 is its place in
 * every later release too. */
enum { GET_PACKAGE_API_SLOT = 427, GET_PACKAGE_API_SINCE = 31, OLDEST_PACKAGE_API = 28 };

static int look_up(const struct runtime *runtime, const char *name, void *member,
                   char message[MESSAGE_BYTES]) {
  char full[128];
  snprintf(full, sizeof full, "OrtModelPackageApi_%s_SinceV28", name);
  OrtExperimentalFnPtr function = runtime->ort->GetExperimentalFunction(full);
  if (function == NULL)
    return say(message, "ONNX Runtime %s has no %s", runtime->release, full);
  memcpy(member, &function, sizeof function);
  return 0;
}

static int load_package_api(const struct runtime *runtime, PackageApi *api,
                            char message[MESSAGE_BYTES]) {
  memset(api, 0, sizeof *api);
  if (runtime->api_version < OLDEST_PACKAGE_API)
    return say(message, "ONNX Runtime %s is older than 1.%d, the first that reads model packages",
               runtime->release, OLDEST_PACKAGE_API);
  if (runtime->api_version >= GET_PACKAGE_API_SINCE) {
    const PackageApi *(*get_package_api)(void) = NULL;
    memcpy(&get_package_api,
           (const char *)runtime->ort + GET_PACKAGE_API_SLOT * sizeof get_package_api,
           sizeof get_package_api);
    const PackageApi *found = get_package_api == NULL ? NULL : get_package_api();
    if (found == NULL)
      return say(message, "this build of ONNX Runtime %s reads no model packages",
                 runtime->release);
    *api = *found;
    return 0;
  }
  const struct {
    const char *name;
    void *member;
  } wanted[] = {
      {"CreateModelPackageOptionsFromSessionOptions", &api->CreateOptions},
      {"ReleaseModelPackageOptions", &api->ReleaseOptions},
      {"CreateModelPackageContext", &api->CreateContext},
      {"ReleaseModelPackageContext", &api->ReleaseContext},
      {"SelectComponent", &api->SelectComponent},
      {"ReleaseModelPackageComponentContext", &api->ReleaseComponent},
      {"ModelPackageComponent_GetSelectedVariantName", &api->GetSelectedVariantName},
      {"CreateSession", &api->CreateSession},
  };
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; ++i)
    if (look_up(runtime, wanted[i].name, wanted[i].member, message) != 0) return -1;
  return 0;
}

int open_package(const struct runtime *runtime, const OrtEnv *env,
                 const OrtSessionOptions *settings, const char *package, const char *component,
                 OrtSession **session, char variant[VARIANT_BYTES], char message[MESSAGE_BYTES]) {
  PackageApi api;
  PackageOptions *options = NULL;
  PackageContext *opened = NULL;
  ComponentContext *chosen = NULL;
  const char *name = NULL;
  int failed = 1;
  if (load_package_api(runtime, &api, message) != 0) return -1;
  if (ort_failed(runtime, api.CreateOptions(env, settings, &options), "making package options",
                 message) ||
      ort_failed(runtime, api.CreateContext(package, &opened), "opening the package", message) ||
      ort_failed(runtime, api.SelectComponent(opened, component, options, &chosen),
                 "selecting a variant", message) ||
      ort_failed(runtime, api.GetSelectedVariantName(chosen, &name), "naming the variant",
                 message))
    goto end;
  snprintf(variant, VARIANT_BYTES, "%s", name);
  failed = ort_failed(runtime, api.CreateSession(env, chosen, NULL, session), "opening a session",
                      message);
end:
  if (chosen != NULL) api.ReleaseComponent(chosen);
  if (opened != NULL) api.ReleaseContext(opened);
  if (options != NULL) api.ReleaseOptions(options);
  return failed ? -1 : 0;
}
