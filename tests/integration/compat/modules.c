/* One extension module that behaves as its macros say; see conftest.py. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define GLUE2(a, b) a##b
#define GLUE(a, b) GLUE2(a, b)
#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)

static int executed = 0;
#ifdef SHARES
static PyObject *shared = NULL;
#endif

static int run(PyObject *module) {
    executed++;
#ifdef HANGS
    for (;;) pause();
#endif
#ifdef CRASHES
    raise(SIGSEGV);
#endif
#ifdef EXITS
    _exit(3);
#endif
#ifdef FORKS
    if (fork() < 0) return -1;
#endif
#ifdef NEEDS_DISPLAY
    if (getenv("DISPLAY") == NULL) {
        PyErr_SetString(PyExc_ImportError, "cannot open display");
        return -1;
    }
#endif
#ifdef ONLY_ONCE
    if (executed > 1) {
        PyErr_SetString(PyExc_ImportError, "cannot load module more than once per process");
        return -1;
    }
#endif
#ifdef SHARES
    if (shared == NULL) shared = PyDict_New();
    return PyModule_AddObjectRef(module, "registry", shared);
#endif
    return PyModule_AddIntConstant(module, "answer", 42);
}

#ifdef SINGLE_PHASE
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, TEXT(NAME), NULL, -1, NULL};
PyMODINIT_FUNC GLUE(PyInit_, NAME)(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && run(module) < 0) Py_CLEAR(module);
    return module;
}
#elif defined(EXPORTS)
PyABIInfo_VAR(abi_info);
static PySlot slots[] = {
    PySlot_STATIC_DATA(Py_mod_abi, &abi_info),
    PySlot_STATIC_DATA(Py_mod_name, TEXT(NAME)),
    PySlot_FUNC(Py_mod_exec, run),
    PySlot_DATA(Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED),
    PySlot_DATA(Py_mod_gil, Py_MOD_GIL_NOT_USED),
    PySlot_END
};
PyMODEXPORT_FUNC GLUE(PyModExport_, NAME)(void) { return slots; }
#else
static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, run},
#ifdef INTERPRETERS
    {Py_mod_multiple_interpreters, INTERPRETERS},
#endif
#ifdef NO_GIL
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL}
};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, TEXT(NAME), NULL, 0, NULL, slots};
PyMODINIT_FUNC GLUE(PyInit_, NAME)(void) { return PyModuleDef_Init(&definition); }
#endif
